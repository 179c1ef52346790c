"""An identity provider of SAML 2.0: reads a question as it comes, and signs its answer by XML Signature (xmlsec).

What it says, and which part it signs by which key, a test sets.
"""

import base64
import datetime as dt
import secrets
import zlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
NAMES = {"samlp": PROTOCOL, "saml": ASSERTION, "ds": SIGNATURE}
ENTITY = "https://id.example.com/saml?realm=acme&kind=idp"
SIGN_IN_AT = "https://id.example.com/sign-in?tenant=acme&kind=saml"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


class Key:
    """A private key with a certificate that it signed itself."""

    def __init__(self) -> None:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "id.example.com")])
        day = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
            .not_valid_before(day)
            .not_valid_after(day + dt.timedelta(days=36_500))
            .sign(private, hashes.SHA256())
        )
        no_password = serialization.NoEncryption()
        self.private = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password
        ).decode()
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()


def metadata(*keys: Key, use: str = "signing") -> str:
    """Return a provider's metadata, with the certificates of some keys."""
    described = "".join(
        f'<md:KeyDescriptor use="{use}"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>'
        f"{''.join(key.certificate.splitlines()[1:-1])}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for key in keys
    )
    redirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
    entity, to = ENTITY.replace("&", "&amp;"), SIGN_IN_AT.replace("&", "&amp;")
    return (
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="{SIGNATURE}"'
        f' entityID="{entity}">'
        f'<md:IDPSSODescriptor protocolSupportEnumeration="{PROTOCOL}">{described}'
        f'<md:SingleSignOnService Binding="{redirect}" Location="{to}"/></md:IDPSSODescriptor></md:EntityDescriptor>'
    )


def question_in(url: str) -> Any:
    """Return the question that an address of the provider brings, as an element."""
    assert url.startswith(SIGN_IN_AT + "&")
    packed = base64.b64decode(parse_qs(urlsplit(url).query)["SAMLRequest"][0])
    return etree.fromstring(zlib.decompress(packed, -15))


def moment(seconds: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class SamlProvider:
    """Who is signed in there, and what it says of them."""

    key: Key
    audience: str
    name_id: str = "number-1"
    name_format: str = PERSISTENT
    attributes: dict[str, list[str]] = field(default_factory=dict)
    issuer: str = ENTITY
    recipient: str | None = None
    destination: str | None = None
    answers: str | None = None
    from_now: float = -30
    until_now: float = 300
    confirmed_until: float | None = 300
    signs: tuple[str, ...] = ("saml:Assertion",)
    method: Any = xmlsec.constants.TransformRsaSha256
    digest: Any = xmlsec.constants.TransformSha256

    def answer(self, url: str) -> Any:
        """Return its signed answer to the question of an address, as an element."""
        asked = question_in(url)
        to = asked.get("AssertionConsumerServiceURL")
        recipient = to if self.recipient is None else self.recipient
        number = asked.get("ID") if self.answers is None else self.answers
        replies = f'InResponseTo="{number}"' if number else ""
        end = "" if self.confirmed_until is None else f'NotOnOrAfter="{moment(self.confirmed_until)}"'
        audience = f"<saml:Audience>{self.audience}</saml:Audience>"
        said = "".join(
            f'<saml:Attribute Name="{name}">'
            + "".join(f"<saml:AttributeValue>{each}</saml:AttributeValue>" for each in values)
            + "</saml:Attribute>"
            for name, values in self.attributes.items()
        )
        now, issuer = moment(0), self.issuer.replace("&", "&amp;")
        destination = f'Destination="{to if self.destination is None else self.destination}"'
        xml = f"""<samlp:Response xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}" Version="2.0"
 ID="_r{secrets.token_hex(8)}" IssueInstant="{now}" {destination if self.destination != "" else ""} {replies}>
<saml:Issuer>{issuer}</saml:Issuer>
<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
<saml:Assertion ID="_a{secrets.token_hex(8)}" Version="2.0" IssueInstant="{now}"><saml:Issuer>{issuer}</saml:Issuer>
<saml:Subject><saml:NameID Format="{self.name_format}">{self.name_id}</saml:NameID>
<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
<saml:SubjectConfirmationData {end} {f'Recipient="{recipient}"' if recipient else ""} {replies}/>
</saml:SubjectConfirmation></saml:Subject>
<saml:Conditions NotBefore="{moment(self.from_now)}" NotOnOrAfter="{moment(self.until_now)}">
{f"<saml:AudienceRestriction>{audience}</saml:AudienceRestriction>" if self.audience else ""}</saml:Conditions>
<saml:AuthnStatement AuthnInstant="{now}"><saml:AuthnContext>
<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>
</saml:AuthnContext></saml:AuthnStatement>{f"<saml:AttributeStatement>{said}</saml:AttributeStatement>" if said else ""}
</saml:Assertion></samlp:Response>"""
        root = etree.fromstring(xml)
        for path in self.signs:
            self.sign(root if path == "samlp:Response" else root.find(path, NAMES))
        return root

    def sign(self, element: Any) -> None:
        """Put a signature of an element into it, after its issuer, with the certificate beside it."""
        template = xmlsec.template.create(element, xmlsec.constants.TransformExclC14N, self.method, ns="ds")
        element.insert(1, template)
        reference = xmlsec.template.add_reference(template, self.digest, uri=f"#{element.get('ID')}")
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(template))
        xmlsec.tree.add_ids(element.getroottree().getroot(), ["ID"])
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(self.key.private, xmlsec.constants.KeyDataFormatPem)
        context.key.load_cert_from_memory(self.key.certificate, xmlsec.constants.KeyDataFormatPem)
        context.sign(template)


def posted(answer: Any) -> str:
    """Return an answer, an element or its text, as a form brings it."""
    text = answer if isinstance(answer, bytes) else etree.tostring(answer)
    return base64.b64encode(text).decode()
