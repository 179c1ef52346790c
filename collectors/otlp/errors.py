"""What decoding may raise: one class, for a body of which nothing can be kept."""


class Malformed(ValueError):  # noqa: N818  (it names the state of the body, as the answer to the sender does)
    """The whole body is unreadable. The message says what is wrong and what the sender can do about it.

    Permanent: the same bytes will fail again, so the sender must not retry.
    """
