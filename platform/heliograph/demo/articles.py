"""What the demo's imaginary bicycle shop knows, is asked and answers: rightly, and sometimes not.

Written for this project. `wrong` says something that the article does not support, so that an evaluator has
something to find.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Article:
    """One page of the shop's help centre, with questions that it answers."""

    title: str
    text: str
    questions: tuple[str, ...]
    right: str
    wrong: str


ARTICLES = (
    Article(
        "Returns",
        "Unused bicycles may be returned within 30 days of delivery in their original box. The refund is "
        "paid to the original payment method within 5 working days of inspection. Helmets and clothing "
        "may be exchanged, but not refunded.",
        (
            "Can I send my bike back?",
            "How long do I have to return a bicycle?",
            "When do I get my refund?",
        ),
        "You can return an unused bicycle in its original box within 30 days of delivery. The refund "
        "reaches your original payment method within 5 working days of inspection.",
        "You can return any bicycle within 90 days of delivery, used or not. The refund is paid as store "
        "credit on the same day.",
    ),
    Article(
        "Battery care",
        "The 500 Wh battery reaches 80 percent charge in 2.5 hours with the supplied charger. Store it "
        "between 10 and 20 degrees Celsius at about half charge if the bicycle is not used for more than "
        "a month. Never charge a frozen battery.",
        (
            "How should I store the battery in winter?",
            "How fast does the battery charge?",
            "May I charge in the cold shed?",
        ),
        "Store the battery at about half charge between 10 and 20 degrees Celsius. With the supplied "
        "charger it reaches 80 percent in 2.5 hours, and a frozen battery must never be charged.",
        "Store the battery fully charged in the freezer over the winter. With the supplied charger it is "
        "full after 40 minutes.",
    ),
    Article(
        "Warranty",
        "The frame has a warranty of 10 years for the first owner, electrical parts have 2 years. Wear "
        "parts such as chains, tyres and brake pads are excluded. A claim needs the order number and a "
        "photo of the damage.",
        (
            "How long is the frame under warranty?",
            "Are brake pads covered?",
            "What do I need for a warranty claim?",
        ),
        "The frame is covered for 10 years for the first owner and electrical parts for 2 years. Wear "
        "parts such as brake pads are excluded. A claim needs your order number and a photo.",
        "The frame and all wear parts, brake pads included, are covered for a lifetime, also for later owners.",
    ),
    Article(
        "Delivery",
        "Bicycles are delivered 90 percent assembled by a freight carrier who calls a day ahead. Delivery"
        " within the country takes 4 to 7 working days and costs 39 euros. Orders above 1,500 euros are "
        "delivered free of charge.",
        (
            "How long does delivery take?",
            "What does shipping cost?",
            "Does the bike arrive assembled?",
        ),
        "Delivery takes 4 to 7 working days and costs 39 euros, or nothing for orders above 1,500 euros. "
        "The bicycle arrives 90 percent assembled.",
        "Delivery takes 2 working days and is always free of charge. A mechanic assembles the bicycle in your home.",
    ),
    Article(
        "Sizing",
        "Frame size M fits riders from 168 to 178 centimetres, size L from 176 to 188. Riders between two"
        " sizes choose the smaller frame for agile handling. The saddle can be raised by 25 centimetres.",
        (
            "I am 172 cm tall, which size?",
            "Which frame fits somebody of 1.85 m?",
            "I am between two sizes, what now?",
        ),
        "Size M fits riders from 168 to 178 centimetres and size L from 176 to 188. Between two sizes the"
        " smaller frame handles more agilely.",
        "Size S fits everybody up to 185 centimetres. Between two sizes you should always take the larger"
        " frame, which is lighter.",
    ),
    Article(
        "Error E21",
        "The display shows E21 when the motor reads no signal from the speed sensor. Check that the spoke"
        " magnet stands within 15 millimetres of the sensor and clean both. If the code remains after a "
        "restart, a workshop has to read the controller log.",
        (
            "My display says E21!",
            "What does error 21 mean?",
            "The motor stops and shows E21, what can I do?",
        ),
        "E21 means that the motor gets no signal from the speed sensor. Check that the spoke magnet is "
        "within 15 millimetres of the sensor, clean both and restart.",
        "E21 means that the battery is empty. Pour warm water over the controller and replace the motor "
        "after three restarts.",
    ),
    Article(
        "Leasing",
        "Employees can lease a bicycle through their employer for 36 months. The monthly rate includes "
        "insurance and one inspection a year. At the end the bicycle may be bought for 18 percent of its "
        "list price.",
        (
            "Can I lease a bike through my company?",
            "What happens after the leasing ends?",
            "Is insurance included in leasing?",
        ),
        "Your employer can lease a bicycle for you for 36 months, with insurance and one yearly "
        "inspection included. Afterwards you may buy it for 18 percent of its list price.",
        "Leasing runs for 12 months without insurance, and afterwards the bicycle is yours without any "
        "further payment.",
    ),
    Article(
        "Service intervals",
        "The first inspection is due after 300 kilometres or three months. After that the bicycle is "
        "inspected every 2,000 kilometres or once a year, whichever comes first. An inspection costs 79 "
        "euros without parts.",
        (
            "When is the first inspection?",
            "How often does my bike need service?",
            "How much is an inspection?",
        ),
        "The first inspection is due after 300 kilometres or three months, later ones every 2,000 "
        "kilometres or once a year. An inspection costs 79 euros without parts.",
        "No inspection is needed for the first 10,000 kilometres. Each inspection is free and takes ten minutes.",
    ),
)
