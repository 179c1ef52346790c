"""SAML 2.0 web sign-in, as a service provider: the question, our metadata, and the strict reading of an answer.

python3-saml verifies the signature by the certificate that is set and looks at what an assertion must have. What it
leaves open is closed here (docs/adr/0075): one assertion, signed itself, in the one place where it belongs; exact
addresses; an audience, an end and a question that must be there. Its packages come by the extra `saml`, so they are
imported when they are used.
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from allauth.socialaccount.providers.saml.provider import SAMLProvider
from django.conf import settings
from django.urls import reverse

# Of an answer, decoded. A group's name takes some tens of bytes: thousands of them are some hundred kilobytes.
MAX_ANSWER_BYTES = 2**20
MAX_METADATA_BYTES = 2**20

_PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
_ASSERTION: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
_SIGNATURE: Final = "http://www.w3.org/2000/09/xmldsig#"
_METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
_NAMES: Final = {"samlp": _PROTOCOL, "saml": _ASSERTION, "ds": _SIGNATURE, "md": _METADATA}
_BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_ENC: Final = "http://www.w3.org/2001/04/xmlenc#"
_TRANSFORMS: Final = {f"{_SIGNATURE}enveloped-signature", _C14N}
# What SHA-1 or a shared secret signs is none: the first is broken, the second would be our public certificate.
_SIGNS: Final = {f"{_MORE}{key}-sha{bits}" for key in ("rsa", "ecdsa") for bits in (256, 384, 512)}
_DIGESTS: Final = {f"{_ENC}sha256", f"{_MORE}sha384", f"{_ENC}sha512"}
_DECLARATION: Final = re.compile(r"\A\ufeff?<\?xml\s[^>]*\?>")


class SamlError(Exception):
    """An answer, or a setting, that cannot be used; the text is for the log of whoever runs this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider says of somebody, after it was verified."""

    number: str
    username: str
    groups: tuple[str, ...]
    # The question that it answers, and its own id: each is used once.
    in_response_to: str
    assertion_id: str


def is_set() -> bool:
    """Whether people sign in by SAML here."""
    return bool(settings.SAML_METADATA or settings.SAML_IDP_ENTITY_ID)


def answers_at() -> str:
    """Return the address that takes answers (assertion consumer service), whatever name a request came by."""
    return str(settings.BASE_URL + reverse("saml-answer"))


def entity_id() -> str:
    """Return our name: the address of our metadata."""
    return str(settings.BASE_URL + reverse("saml-metadata"))


def provider_settings() -> dict[str, Any]:
    """Return {"entityId", "singleSignOnService", "x509certMulti"} of the provider. Raises SamlError for what lacks."""
    xmlsec = _xmlsec()
    from onelogin.saml2.utils import OneLogin_Saml2_Utils  # noqa: PLC0415  # of the extra

    found: dict[str, Any]
    if not settings.SAML_METADATA:
        found = {
            "entityId": settings.SAML_IDP_ENTITY_ID,
            "singleSignOnService": {"url": settings.SAML_IDP_SSO_URL},
            "x509certMulti": {"signing": [settings.SAML_IDP_CERTIFICATE] if settings.SAML_IDP_CERTIFICATE else []},
        }
    else:
        found = _of_metadata(settings.SAML_METADATA)
    if not found["entityId"]:
        raise SamlError("the provider has no entity id")
    url = str(found["singleSignOnService"]["url"])
    if urlsplit(url).scheme not in {"http", "https"}:
        raise SamlError("the provider has no address to sign in at (HTTP-Redirect)")
    certificates = found["x509certMulti"]["signing"]
    if not certificates:
        raise SamlError("the provider has no certificate to sign with")
    for each in certificates:
        try:
            xmlsec.Key.from_memory(OneLogin_Saml2_Utils.format_cert(each), xmlsec.constants.KeyDataFormatCertPem)
        except (xmlsec.Error, ValueError) as error:
            raise SamlError("the provider's certificate is none in PEM") from error
    return found


def _xmlsec() -> Any:
    """Return the package that verifies. Raises SamlError where it does not load, as beside another libxml2."""
    try:
        import xmlsec  # noqa: PLC0415  # of the extra
    except Exception as error:  # its own, of a module that is not there yet
        raise SamlError(f"xmlsec does not load: {error}") from error
    return xmlsec


def _of_metadata(text: str) -> dict[str, Any]:
    """Return what metadata say of their provider, or of the one of several that is named."""
    # python3-saml's own reading takes a certificate that is for encryption only for one that signs.
    from lxml import etree  # noqa: PLC0415  # of the extra
    from onelogin.saml2.xml_utils import OneLogin_Saml2_XML  # noqa: PLC0415  # of the extra

    if len(text) > MAX_METADATA_BYTES:
        raise SamlError("the provider's metadata are too large")
    try:
        root = OneLogin_Saml2_XML.to_etree(text)
    except (etree.LxmlError, ValueError) as error:
        raise SamlError(f"the provider's metadata cannot be read: {error}") from error
    wanted = settings.SAML_IDP_ENTITY_ID
    found = root.xpath("descendant-or-self::md:EntityDescriptor[md:IDPSSODescriptor]", namespaces=_NAMES)
    described = [each for each in found if wanted in ("", each.get("entityID"))]
    if len(described) != 1:
        raise SamlError(f"the metadata have {len(described) or 'no'} such providers: HELIOGRAPH_SAML_IDP_ENTITY_ID")
    [one] = described

    def told(path: str) -> list[str]:
        return [str(each) for each in one.xpath(f"md:IDPSSODescriptor/{path}", namespaces=_NAMES)]

    to = told(f"md:SingleSignOnService[@Binding='{_REDIRECT}']/@Location")
    keys = told("md:KeyDescriptor[not(@use) or @use='signing']/ds:KeyInfo/ds:X509Data/ds:X509Certificate/text()")
    return {
        "entityId": one.get("entityID", ""),
        "singleSignOnService": {"url": to[0] if to else ""},
        "x509certMulti": {"signing": ["".join(each.split()) for each in keys]},
    }


def library_settings() -> Any:
    """Return python3-saml's settings, of a provider that can be asked. Raises SamlError."""
    _xmlsec()
    from onelogin.saml2.errors import OneLogin_Saml2_Error  # noqa: PLC0415  # of the extra
    from onelogin.saml2.settings import OneLogin_Saml2_Settings  # noqa: PLC0415  # of the extra

    given = {
        "strict": True,
        "sp": {"entityId": entity_id(), "assertionConsumerService": {"url": answers_at(), "binding": _POST}},
        "idp": provider_settings(),
        "security": {
            "wantAssertionsSigned": True,
            "rejectDeprecatedAlgorithm": True,
            "requestedAuthnContext": False,  # how somebody signs in there is the provider's matter
            "wantNameId": not settings.SAML_ID_ATTRIBUTE,
            "wantAttributeStatement": False,
            "allowRepeatAttributeName": True,
            "allowSingleLabelDomains": True,
        },
    }
    try:
        return OneLogin_Saml2_Settings(given)
    except OneLogin_Saml2_Error as error:
        raise SamlError(str(error)) from error


def metadata() -> bytes:
    """Return what a provider is told of us, as XML. Raises SamlError."""
    text = library_settings().get_sp_metadata()
    return text if isinstance(text, bytes) else str(text).encode()


def question() -> tuple[str, str]:
    """Return the id of a new question, and the provider's address with it in. Raises SamlError."""
    from lxml import etree  # noqa: PLC0415  # of the extra

    told = library_settings().get_idp_data()
    number = f"_{secrets.token_hex(20)}"
    to = told["singleSignOnService"]["url"]
    root = etree.Element(f"{{{_PROTOCOL}}}AuthnRequest", nsmap={"samlp": _PROTOCOL, "saml": _ASSERTION})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    root.attrib.update({"ID": number, "Version": "2.0", "IssueInstant": now, "Destination": to})
    root.attrib.update({"ProtocolBinding": _POST, "AssertionConsumerServiceURL": answers_at()})
    etree.SubElement(root, f"{{{_ASSERTION}}}Issuer").text = entity_id()
    etree.SubElement(root, f"{{{_PROTOCOL}}}NameIDPolicy", AllowCreate="true")
    packed = zlib.compress(etree.tostring(root))[2:-4]  # raw DEFLATE, without zlib's frame
    query = urlencode({"SAMLRequest": base64.b64encode(packed).decode()})
    return number, f"{to}{'&' if '?' in to else '?'}{query}"


def read(sent: str) -> Answer:
    """Return what an answer says, as it was posted (base64). Raises SamlError for every one that is not as it must be.

    Times are judged by the clock of now; whether it answers a question of this browser, and whether it was used
    before, is asked by whoever calls.
    """
    xmlsec = _xmlsec()
    from lxml import etree  # noqa: PLC0415  # of the extra
    from onelogin.saml2.errors import OneLogin_Saml2_Error, OneLogin_Saml2_ValidationError  # noqa: PLC0415  # as above
    from onelogin.saml2.response import OneLogin_Saml2_Response  # noqa: PLC0415  # of the extra
    from onelogin.saml2.xml_utils import OneLogin_Saml2_XML  # noqa: PLC0415  # of the extra

    known = library_settings()
    here = urlsplit(answers_at())
    asked: dict[str, Any] = {
        "https": "on" if here.scheme == "https" else "off",
        "http_host": here.netloc,
        "script_name": here.path,
        "get_data": {},
        "post_data": {},
    }
    try:
        xml = _plain(sent)
        _shaped(OneLogin_Saml2_XML.to_etree(xml))
        response = OneLogin_Saml2_Response(known, base64.b64encode(xml).decode())
        _verified(response, asked)
        return _said(response, known.get_idp_data()["entityId"])
    except (OneLogin_Saml2_Error, OneLogin_Saml2_ValidationError, etree.LxmlError, xmlsec.Error, ValueError) as error:
        raise SamlError(str(error)) from error


def _verified(response: Any, asked: dict[str, Any]) -> None:
    """Have the library verify an answer. Raises its errors, and SamlError."""
    try:
        response.is_valid(asked, raise_exceptions=True)
    except Exception as error:
        # It reads times and a status before the signature, and fails by anything where anybody wrote something odd.
        raise SamlError(str(error) or repr(error)) from error


def _plain(sent: str) -> bytes:
    """Return the XML, in UTF-8 and without what may hide something: other encodings, comments, entities, CDATA."""
    if len(sent) > MAX_ANSWER_BYTES * 4 // 3 + 4:
        raise SamlError("the answer is too large")
    try:
        text = base64.b64decode("".join(sent.split()), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SamlError("the answer is no UTF-8 in base64") from error
    # Without a declaration the encoding is UTF-8, whatever it said; a signature does not cover it.
    text = _DECLARATION.sub("", text, count=1)
    if "<!" in text or "<?" in text:
        raise SamlError("the answer has comments, entities, CDATA or instructions")
    return text.encode()


def _shaped(root: Any) -> None:
    """Refuse every shape but one, so that what is verified and what is read cannot be two things (XSW)."""

    def count(path: str) -> int:
        return len(root.xpath(path, namespaces=_NAMES))

    if root.tag != f"{{{_PROTOCOL}}}Response" or count("//samlp:Response") != 1:
        raise SamlError("it is not one response")
    if count("//saml:EncryptedAssertion") or count("//saml:EncryptedID") or count("//saml:EncryptedAttribute"):
        raise SamlError("it is encrypted: what we publish has no key for it")
    if count("//saml:Assertion") != 1 or count("/samlp:Response/saml:Assertion") != 1:
        raise SamlError("it has not one assertion, where it belongs")
    if count("/samlp:Response/saml:Assertion/ds:Signature") != 1:
        raise SamlError("the assertion is not signed itself")
    if (
        count("//ds:Signature") != 1 + count("/samlp:Response/ds:Signature")
        or count("/samlp:Response/ds:Signature") > 1
    ):
        raise SamlError("a signature is where none belongs")
    ids = root.xpath("//@*[translate(local-name(), 'ID', 'id') = 'id']")
    if len(ids) != len(set(ids)):
        raise SamlError("an id stands twice")
    for signature in root.xpath("//ds:Signature", namespaces=_NAMES):
        _signed_whole(signature)


def _signed_whole(signature: Any) -> None:
    """Refuse a signature of anything but the whole element that it stands in, or by what does not hold."""

    def found(path: str, attribute: str) -> list[str]:
        return [each.get(attribute, "") for each in signature.xpath(path, namespaces=_NAMES)]

    if signature.xpath("ds:Object", namespaces=_NAMES):
        raise SamlError("a signature holds more than itself")
    whole = f"#{signature.getparent().get('ID', '')}"
    if found(".//ds:Reference", "URI") != [whole] or whole == "#":
        raise SamlError("a signature is not of what it stands in")
    transforms = found("ds:SignedInfo/ds:Reference/ds:Transforms/ds:Transform", "Algorithm")
    if set(transforms) != _TRANSFORMS or len(found(".//ds:Transform", "Algorithm")) != len(transforms):
        raise SamlError("a signature leaves something out")
    for path, allowed in (
        ("ds:SignedInfo/ds:CanonicalizationMethod", {_C14N}),
        ("ds:SignedInfo/ds:SignatureMethod", _SIGNS),
        ("ds:SignedInfo/ds:Reference/ds:DigestMethod", _DIGESTS),
    ):
        [method] = found(path, "Algorithm") or [""]
        if method not in allowed:
            raise SamlError(f"a signature is by {method or 'no method'}")


def _said(response: Any, issuer: str) -> Answer:
    """Return what the verified assertion says, after what the library leaves open."""
    [assertion] = response.document.xpath("/samlp:Response/saml:Assertion", namespaces=_NAMES)
    if response.document.get("Destination", answers_at()) != answers_at():
        raise SamlError("it is for another address")
    if [each.text for each in assertion.xpath("saml:Issuer", namespaces=_NAMES)] != [issuer]:
        raise SamlError("another provider issued it")
    question_id = response.document.get("InResponseTo", "")
    if not question_id:
        raise SamlError("it answers no question of ours: signing in begins here")
    confirmations = assertion.xpath(
        f"saml:Subject/saml:SubjectConfirmation[@Method='{_BEARER}']/saml:SubjectConfirmationData", namespaces=_NAMES
    )
    if not confirmations:
        raise SamlError("it is not for whoever bears it")
    for each in confirmations:
        if each.get("Recipient") != answers_at():
            raise SamlError("the assertion is for another recipient")
        if each.get("InResponseTo") != question_id:
            raise SamlError("the assertion answers another question")
        if not each.get("NotOnOrAfter"):
            raise SamlError("the assertion has no end")
    restrictions = assertion.xpath("saml:Conditions/saml:AudienceRestriction", namespaces=_NAMES)
    # Each restriction has to hold; of one, any audience (SAML core, 2.5.1.4).
    if not restrictions or not all(
        entity_id() in [(one.text or "").strip() for one in each.xpath("saml:Audience", namespaces=_NAMES)]
        for each in restrictions
    ):
        raise SamlError("the assertion is for another audience")
    attributes = {
        name: [each for each in values if isinstance(each, str)] for name, values in response.get_attributes().items()
    }
    number = _number(response.get_nameid_data(), attributes, issuer)
    names = attributes.get(settings.SAML_USERNAME_ATTRIBUTE, [])
    return Answer(
        number=number,
        username=names[0] if names else response.get_nameid() or "",
        groups=tuple(attributes.get(settings.SAML_GROUPS_ATTRIBUTE, [])),
        in_response_to=question_id,
        assertion_id=assertion.get("ID"),
    )


def _number(name_id: dict[str, str], attributes: dict[str, list[str]], issuer: str) -> str:
    """Return somebody's number, of 64 characters: a provider's own names mean something only beside its own."""
    if settings.SAML_ID_ATTRIBUTE:
        values = attributes.get(settings.SAML_ID_ATTRIBUTE, [])
        if len(values) != 1:
            raise SamlError(f"the attribute {settings.SAML_ID_ATTRIBUTE} has not one value")
        told = ["attribute", values[0]]
    else:
        if name_id.get("Format") == _TRANSIENT:
            raise SamlError("the NameID is transient, another one each time: have the provider send a persistent one")
        told = ["name", name_id.get("NameQualifier", ""), name_id["Value"]]
    return hashlib.sha256(json.dumps([issuer, *told]).encode()).hexdigest()


class Provider(SAMLProvider):  # type: ignore[misc]  # allauth ships no types
    """allauth's provider, with our question and what our reading says."""

    def redirect(self, request: Any, process: str, next_url: str | None = None, **kwargs: Any) -> str:
        """Keep the question in the browser's session, and return the provider's address. Raises SamlError."""
        number, url = question()
        self.stash_redirect_state(request, process, next_url, state_id=number, **kwargs)
        return url

    def extract_uid(self, data: Answer) -> str:
        """Return the number."""
        return data.number

    def extract_extra_data(self, data: Answer) -> dict[str, Any]:
        """Return what is kept: what the mapping of groups reads, as of an OpenID provider."""
        return {"userinfo": {settings.OIDC_GROUPS_CLAIM: list(data.groups)}}

    def extract_common_fields(self, data: Answer) -> dict[str, Any]:
        """Return the name that is proposed to somebody new."""
        return {"username": data.username}
