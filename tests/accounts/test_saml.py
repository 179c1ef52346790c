"""Signing in by SAML, with a provider that signs real XML: whom it lets in, and everything that it must not."""

import copy
import re
import sys
from collections.abc import Callable
from html import unescape
from importlib.abc import MetaPathFinder
from typing import Any
from urllib.parse import urlencode

import pytest
import xmlsec
from allauth.socialaccount.models import SocialAccount
from django.core.checks import run_checks
from django.test import Client
from django.urls import reverse
from lxml import etree
from pytest_django import Settings

from heliograph.accounts import saml
from heliograph.accounts.models import Membership, Organization, Project, User
from heliograph.accounts.permissions import role_of
from heliograph.accounts.roles import Role
from heliograph.audit.models import Entry
from tests.stubs.saml_identity import (
    ASSERTION,
    ENTITY,
    NAMES,
    PROTOCOL,
    SIGN_IN_AT,
    Key,
    SamlProvider,
    metadata,
    posted,
    question_in,
)

pytestmark = pytest.mark.django_db
PASSWORD = "a long password 1"


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


@pytest.fixture(scope="module")
def other_key() -> Key:
    return Key()


@pytest.fixture
def acme() -> Project:
    return Project.create(Organization.objects.create(name="Acme"), "Chat bot")


@pytest.fixture(autouse=True)
def provider(acme: Project, key: Key, settings: Settings) -> SamlProvider:
    """A provider at which Dana is signed in, of a group of editors."""
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    settings.SAML_NAME = "the company's door"
    settings.SAML_METADATA = metadata(key)
    settings.SAML_USERNAME_ATTRIBUTE = "uid"
    settings.OIDC_GROUP_ROLES = {"ml": {"Acme": "editor"}, "ml-leads": {"Acme": "admin"}}
    return SamlProvider(key, saml.entity_id(), attributes={"groups": ["ml", "else"], "uid": ["dana"]})


def asked(client: Client, **form: str) -> str:
    """Return the address of the provider that somebody is led to."""
    page = client.post(reverse("single-sign-on"), form).content.decode()
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page)
    assert found is not None, page
    return unescape(found[1])


FORM = "application/x-www-form-urlencoded"


def post(**form: str) -> Any:
    """Post as the provider's page does: from another site, so without cookies."""
    return Client().post(reverse("saml-answer"), urlencode(form), content_type=FORM)


def bring(client: Client, answer: Any, **form: str) -> Any:
    """Bring an answer from the provider, and follow where it leads with one's own cookies."""
    answered = post(SAMLResponse=posted(answer), **form)
    return client.get(answered["location"]) if answered.status_code == 303 else answered


def come(client: Client, provider: SamlProvider, **form: str) -> Any:
    return bring(client, provider.answer(asked(client, **form)))


def is_in(client: Client) -> bool:
    return client.get(reverse("security")).status_code == 200


def refused(client: Client, answer: Any, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """Say whether nobody was let in, and for this reason."""
    caplog.clear()
    done = bring(client, answer)
    assert done["location"] == reverse("login"), reason
    assert reason in caplog.text
    assert not is_in(client)
    assert not User.objects.exists()


def test_somebody_new_comes_with_the_role_of_their_groups(acme: Project, provider: SamlProvider) -> None:
    client = Client()
    assert "Use the company&#x27;s door" in client.get(reverse("login")).content.decode()
    to = reverse("settings", args=[acme.slug])
    assert come(client, provider, next=to)["location"] == to
    dana = User.objects.get(username="dana")
    assert (role_of(dana, acme.organization), dana.has_usable_password()) == (Role.EDITOR, False)
    assert is_in(client)
    assert 0 < client.session.get_expiry_age() <= 12 * 3600
    assert [each.action for each in Entry.objects.filter(actor="dana")] == ["saml-finish", "groups"]
    provider.attributes["groups"] = ["ml-leads", "ml"]
    come(Client(), provider)
    assert role_of(dana, acme.organization) == Role.ADMIN
    provider.attributes = {}
    come(Client(), provider)
    assert role_of(dana, acme.organization) is None
    assert SocialAccount.objects.count() == 1


def test_the_question_says_who_asks_and_where_the_answer_belongs() -> None:
    root = question_in(asked(Client()))
    assert root.findtext("saml:Issuer", namespaces=NAMES) == saml.entity_id()
    assert root.get("Destination") == SIGN_IN_AT
    assert root.get("AssertionConsumerServiceURL") == saml.answers_at()


def test_our_metadata_are_what_a_provider_reads(settings: Settings) -> None:
    answer = Client().get(reverse("saml-metadata"))
    root = etree.fromstring(answer.content)
    assert root.get("entityID") == saml.entity_id() == settings.BASE_URL + reverse("saml-metadata")
    [descriptor] = root.xpath("//*[local-name()='SPSSODescriptor']")
    assert descriptor.get("WantAssertionsSigned") == "true"
    assert root.xpath("//*[local-name()='AssertionConsumerService']/@Location") == [saml.answers_at()]


def test_an_answer_that_is_signed_as_a_whole_too_and_with_a_new_key_of_two_is_taken(
    provider: SamlProvider, key: Key, other_key: Key, settings: Settings
) -> None:
    settings.SAML_METADATA = metadata(other_key, key)
    provider.signs = ("saml:Assertion", "samlp:Response")
    client = Client()
    come(client, provider)
    assert is_in(client)


def test_without_metadata_three_settings_say_the_same(provider: SamlProvider, key: Key, settings: Settings) -> None:
    settings.SAML_METADATA, settings.SAML_IDP_ENTITY_ID = "", ENTITY
    settings.SAML_IDP_SSO_URL, settings.SAML_IDP_CERTIFICATE = SIGN_IN_AT, key.certificate
    client = Client()
    come(client, provider)
    assert is_in(client)


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("the assertion is not signed itself", {"signs": ()}),
        # A signature of the whole answer is none of the assertion.
        ("the assertion is not signed itself", {"signs": ("samlp:Response",)}),
        ("a signature is by http://www.w3.org/2000/09/xmldsig#rsa-sha1", {"method": xmlsec.constants.TransformRsaSha1}),
        ("a signature is by http://www.w3.org/2000/09/xmldsig#sha1", {"digest": xmlsec.constants.TransformSha1}),
        ("not a valid audience", {"audience": "https://other.example.com"}),
        ("another audience", {"audience": ""}),
        ("expired", {"until_now": -301}),
        ("A valid SubjectConfirmation was not found", {"confirmed_until": -1}),
        ("has no end", {"confirmed_until": None}),
        ("not yet valid", {"from_now": 900}),
        ("received at", {"destination": "https://other.example.com/login/saml/answer"}),
        ("for another address", {"destination": "{here}/more"}),
        ("A valid SubjectConfirmation was not found", {"recipient": "https://other.example.com/"}),
        # The library looks whether our address occurs in it.
        ("another recipient", {"recipient": "https://evil.example/?{here}"}),
        ("another recipient", {"recipient": ""}),
        ("Invalid issuer", {"issuer": "https://evil.example"}),
        ("signing in begins here", {"answers": ""}),
        ("this browser did not ask", {"answers": "_a-question-of-nobody"}),
        ("transient", {"name_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}),
        ("empty NameID", {"name_id": ""}),
    ],
)
def test_what_is_unsigned_or_for_others_or_of_another_time_signs_nobody_in(
    reason: str, fault: dict[str, Any], provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in fault.items():
        is_address = name in {"destination", "recipient"}
        setattr(provider, name, value.format(here=saml.answers_at()) if is_address else value)
    client = Client()
    refused(client, provider.answer(asked(client)), caplog, reason)


def test_another_key_s_signature_signs_nobody_in_though_its_certificate_stands_beside_it(
    provider: SamlProvider, other_key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    provider.key = other_key
    client = Client()
    refused(client, provider.answer(asked(client)), caplog, "Signature validation failed")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("saml:Assertion/saml:Subject/saml:NameID", "number-2"),
        ("saml:Assertion/saml:AttributeStatement/saml:Attribute/saml:AttributeValue", "ml-leads"),
    ],
)
def test_what_was_changed_after_signing_signs_nobody_in(
    path: str, value: str, provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    answer = provider.answer(asked(client))
    answer.find(path, NAMES).text = value
    refused(client, answer, caplog, "Signature validation failed")


def forged_of(answer: Any) -> tuple[Any, Any]:
    """Return the signed assertion, taken out, and a copy that says another name and is not signed."""
    signed = answer.find("saml:Assertion", NAMES)
    forged = copy.deepcopy(signed)
    forged.remove(forged.find("ds:Signature", NAMES))
    forged.set("ID", "_forged")
    forged.find("saml:Subject/saml:NameID", NAMES).text = "the owner's number"
    return signed, forged


def xsw_sibling_before(answer: Any) -> Any:
    _, forged = forged_of(answer)
    answer.insert(2, forged)
    return answer


def xsw_sibling_after(answer: Any) -> Any:
    _, forged = forged_of(answer)
    answer.append(forged)
    return answer


def xsw_around(answer: Any) -> Any:
    """The forged one holds the signed one."""
    signed, forged = forged_of(answer)
    answer.replace(signed, forged)
    forged.append(signed)
    return answer


def xsw_in_the_signature(answer: Any) -> Any:
    """The forged one has the signature, which holds what it signed in an Object."""
    signed, forged = forged_of(answer)
    answer.replace(signed, forged)
    signature = signed.find("ds:Signature", NAMES)
    signed.remove(signature)
    forged.insert(1, signature)
    etree.SubElement(signature, f"{{{NAMES['ds']}}}Object").append(signed)
    return answer


def xsw_same_id(answer: Any) -> Any:
    """The forged one has the signed one's id, and the signature."""
    signed, forged = forged_of(answer)
    forged.set("ID", signed.get("ID"))
    answer.replace(signed, forged)
    signature = signed.find("ds:Signature", NAMES)
    signed.remove(signature)
    forged.insert(1, signature)
    extensions = etree.Element(f"{{{PROTOCOL}}}Extensions")
    extensions.append(signed)
    answer.insert(1, extensions)
    return answer


def xsw_in_extensions(answer: Any) -> Any:
    """The signed one is put away whole, where extensions of anybody's may stand."""
    signed, forged = forged_of(answer)
    answer.replace(signed, forged)
    extensions = etree.Element(f"{{{PROTOCOL}}}Extensions")
    extensions.append(signed)
    answer.insert(1, extensions)
    return answer


def xsw_around_the_response(answer: Any) -> Any:
    """A forged response holds the real one."""
    outer = copy.deepcopy(answer)
    outer.set("ID", "_outer")
    signed, forged = forged_of(outer)
    outer.replace(signed, forged)
    extensions = etree.Element(f"{{{PROTOCOL}}}Extensions")
    extensions.append(answer)
    outer.insert(1, extensions)
    return outer


def xsw_renamed(answer: Any) -> Any:
    """The signed one stands where nobody looks, under a namespace that is no assertion's."""
    signed, forged = forged_of(answer)
    forged.insert(1, copy.deepcopy(signed.find("ds:Signature", NAMES)))
    answer.replace(signed, forged)
    holder = etree.SubElement(answer, f"{{{PROTOCOL}}}Extensions")
    holder.append(etree.fromstring(etree.tostring(signed).replace(ASSERTION.encode(), b"urn:else")))
    return answer


WRAPPED = {
    xsw_sibling_before: "not one assertion",
    xsw_sibling_after: "not one assertion",
    xsw_around: "not one assertion",
    xsw_in_the_signature: "not one assertion",
    xsw_same_id: "not one assertion",
    xsw_in_extensions: "not one assertion",
    xsw_around_the_response: "not one response",
    xsw_renamed: "a signature is where none belongs",
}


@pytest.mark.parametrize(("wrap", "reason"), WRAPPED.items(), ids=[each.__name__ for each in WRAPPED])
def test_a_signature_of_something_else_in_the_answer_signs_nobody_in(
    wrap: Callable[[Any], Any], reason: str, provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    refused(client, wrap(provider.answer(asked(client))), caplog, reason)


def test_a_signature_that_leaves_a_part_out_or_points_elsewhere_signs_nobody_in(
    provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    signed = provider.answer(asked(client))
    for path, name, value, reason in (
        (".//ds:Transform[2]", "Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116", "leaves something out"),
        (".//ds:Reference", "URI", "", "not of what it stands in"),
        (".//ds:Reference", "URI", f"#{signed.get('ID')}", "not of what it stands in"),
        (".//ds:SignatureMethod", "Algorithm", "http://www.w3.org/2000/09/xmldsig#hmac-sha1", "a signature is by"),
        (".//ds:CanonicalizationMethod", "Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments", "is by"),
    ):
        answer = copy.deepcopy(signed)
        answer.find(path, NAMES).set(name, value)
        refused(client, answer, caplog, reason)
    twice = copy.deepcopy(signed)
    info = twice.find(".//ds:SignedInfo", NAMES)
    info.append(copy.deepcopy(info.find("ds:Reference", NAMES)))
    refused(client, twice, caplog, "not of what it stands in")
    same = copy.deepcopy(signed)
    same.set("ID", same.find("saml:Assertion", NAMES).get("ID"))
    refused(client, same, caplog, "an id stands twice")


def test_comments_entities_other_encodings_and_what_is_no_answer_sign_nobody_in(
    provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    text = etree.tostring(provider.answer(asked(client)))
    entity = b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + text.replace(b"number-1", b"&e;")
    for sent, reason in (
        (text.replace(b"number-1", b"number<!-- -->-1"), "comments"),
        (text.replace(b"number-1", b"<![CDATA[number-1]]>"), "comments"),
        (entity, "comments"),
        (text.replace(b"number-1", b"number<?x?>-1"), "instructions"),
        (text.decode().encode("utf-16"), "no UTF-8"),
        (b"<a/>", "not one response"),
        (b"no xml", "expected"),
        (b"", "empty"),
        (b"x" * saml.MAX_ANSWER_BYTES + text, "too large"),
    ):
        refused(client, sent, caplog, reason)
    assert post(SAMLResponse="*")["location"] == reverse("login")
    assert Client().post(reverse("saml-answer"), b"{}", content_type="application/json")["location"] == reverse("login")
    # What a declaration says of the encoding changes nothing: the text is UTF-8 before it is parsed.
    hidden = b'<?xml version="1.0" encoding="UTF-7"?>' + text.replace(b"number-1", b"number+ADwAIQ-")
    refused(client, hidden, caplog, "Signature validation failed")
    bring(client, b'<?xml version="1.0" encoding="UTF-8"?>' + text)
    assert is_in(client)


def test_an_encrypted_or_failed_answer_is_refused_with_what_is_wrong(
    provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    answer = provider.answer(asked(client))
    etree.SubElement(answer, f"{{{ASSERTION}}}EncryptedAssertion")
    refused(client, answer, caplog, "encrypted")
    failed = provider.answer(asked(client))
    failed.find("samlp:Status/samlp:StatusCode", NAMES).set("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
    refused(client, failed, caplog, "not Success, was Responder")


def test_an_answer_works_once_and_in_the_browser_that_asked(
    provider: SamlProvider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, victim = Client(), Client()
    answer = provider.answer(asked(client))
    asked(victim)
    refused(victim, answer, caplog, "this browser did not ask")
    bring(client, answer)
    assert is_in(client)
    client.post(reverse("logout"))
    again = bring(client, answer)
    assert (again["location"], is_in(client)) == (reverse("login"), False)
    # Also where its question would still be open: of two at the same moment one gets in.
    asked(client)
    monkeypatch.setattr(saml.Provider, "unstash_redirect_state", lambda *_: {"process": "login"})
    assert bring(client, answer)["location"] == reverse("login")
    assert "used before" in caplog.text
    assert not is_in(client)


def test_a_ticket_is_for_one_use_and_a_guessed_one_opens_nothing(provider: SamlProvider) -> None:
    client = Client()
    answer = provider.answer(asked(client))
    to = post(SAMLResponse=posted(answer))["location"]
    assert Client().get(to)["location"] == reverse("login")
    assert client.get(to)["location"] == reverse("login")
    assert client.get(reverse("saml-finish"), {"ticket": "guess"})["location"] == reverse("login")
    assert not is_in(client)


def test_relay_state_leads_nowhere_and_next_only_to_this_server(provider: SamlProvider) -> None:
    for relay in ("https://evil.example/", "//evil.example", "/logout"):
        client = Client()
        assert bring(client, provider.answer(asked(client)), RelayState=relay)["location"] == reverse("home")
    assert come(Client(), provider, next="https://evil.example/")["location"] == reverse("home")


def test_who_has_an_account_links_it_and_nobody_else_gets_it_by_its_name(acme: Project, provider: SamlProvider) -> None:
    alice = User.objects.create_user("alice", "alice@example.com", PASSWORD)
    Membership.objects.create(organization=acme.organization, user=alice, role=Role.OWNER)
    provider.attributes |= {"uid": ["alice"], "mail": ["alice@example.com"]}
    thief = Client()
    come(thief, provider)
    assert SocialAccount.objects.get().user != alice
    client = Client()
    client.post(reverse("login"), {"username": "alice", "password": PASSWORD})
    provider.name_id, provider.attributes = "number-of-alice", {}
    proof = client.post(reverse("security-link"))["location"]
    page = client.post(proof, {"password": PASSWORD}).content.decode()
    found = re.search(r'url=([^"]+)"', page)
    assert found is not None
    assert bring(client, provider.answer(unescape(found[1])))["location"] == reverse("security")
    assert SocialAccount.objects.filter(user=alice).count() == 1
    assert Entry.objects.filter(action="security-link", actor="alice").latest("pk").changes[0]["what"] == "created"


def test_a_number_is_one_provider_s_and_an_attribute_may_be_it(
    provider: SamlProvider, settings: Settings, key: Key
) -> None:
    come(Client(), provider)
    before = SocialAccount.objects.get().uid
    settings.SAML_METADATA = metadata(key).replace("realm=acme", "realm=new")
    provider.issuer = ENTITY.replace("realm=acme", "realm=new")
    come(Client(), provider)
    assert SocialAccount.objects.count() == 2
    assert SocialAccount.objects.exclude(uid=before).count() == 1
    settings.SAML_ID_ATTRIBUTE = "employee"
    provider.name_format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
    provider.attributes["employee"] = ["7"]
    come(Client(), provider)
    provider.name_id = ""
    come(Client(), provider)
    assert SocialAccount.objects.count() == 3
    provider.attributes["employee"] = ["7", "8"]
    assert come(Client(), provider)["location"] == reverse("login")


def test_settings_that_are_not_whole_are_explained_and_lead_nowhere(
    key: Key, provider: SamlProvider, settings: Settings
) -> None:
    def wrong() -> str:
        return " ".join(each.msg for each in run_checks() if "SAML" in each.msg)

    assert wrong() == ""
    for text, reason in (
        ("no xml", "cannot be read"),
        (metadata(), "no certificate"),
        # A key to encrypt for the provider signs nothing.
        (metadata(key, use="encryption"), "no certificate"),
        (metadata(key).replace("HTTP-Redirect", "SOAP"), "no address"),
        (metadata(key).replace("<ds:X509Certificate>MI", "<ds:X509Certificate>XX"), "none in PEM"),
        (metadata(key).replace("entityID", "id"), "no entity id"),
        (metadata(key).replace("https://id.example.com/", "https://id example/"), "idp_sso_url_invalid"),
        ("<md:EntityDescriptor xmlns:md='urn:oasis:names:tc:SAML:2.0:metadata'/>", "no such providers"),
        (f"<a>{metadata(key)}{metadata(key)}</a>", "2 such providers"),
    ):
        settings.SAML_METADATA = text
        assert reason in wrong()
        assert Client().post(reverse("single-sign-on"))["location"] == reverse("login")
        assert Client().get(reverse("saml-metadata")).status_code == 404
    settings.SAML_METADATA, settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = metadata(key), "https://id.example", "x"
    assert "one provider gives the roles" in wrong()
    settings.SAML_METADATA = metadata()
    assert "one provider gives the roles" in wrong()
    assert "no certificate" in wrong()
    settings.SAML_METADATA = metadata(key)
    assert Client().post(reverse("saml-answer")).status_code == 404
    settings.SAML_METADATA = settings.OIDC_ISSUER = ""
    for name in ("saml-metadata", "saml-finish"):
        assert Client().get(reverse(name)).status_code == 404
    assert Client().post(reverse("single-sign-on")).status_code == 404


@pytest.mark.parametrize(
    ("given", "is_told"),
    [
        # As of a file that is empty.
        ({"METADATA_FILE": "/etc/heliograph/provider.xml"}, True),
        ({"IDP_SSO_URL": SIGN_IN_AT, "IDP_CERTIFICATE_FILE": "/run/secrets/certificate"}, True),
        ({"METADATA": "", "IDP_ENTITY_ID": "", "NAME": "the company's door"}, False),
        ({}, False),
    ],
)
def test_a_provider_that_is_half_set_is_told_at_the_start_and_one_that_is_not_meant_is_none(
    given: dict[str, str], is_told: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SAML_METADATA = ""
    for name, value in given.items():
        monkeypatch.setenv(f"HELIOGRAPH_SAML_{name}", value)
    assert ["no entity id" in each.msg for each in run_checks() if "SAML" in each.msg] == [True] * is_told
    assert Client().post(reverse("single-sign-on")).status_code == 404


class OtherLibxml(MetaPathFinder):
    """Fails as xmlsec does where lxml brings another libxml2: by an error of its own, which is no ImportError."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "xmlsec":
            raise xmlsec.InternalError(-1, "lxml & xmlsec libxml2 library version mismatch")


def test_packages_that_do_not_load_are_explained_and_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] in {"xmlsec", "onelogin"}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [OtherLibxml(), *sys.meta_path])
    [told] = [each.msg for each in run_checks() if "SAML" in each.msg]
    assert "libxml2 library version mismatch" in told
    assert post(SAMLResponse="*")["location"] == reverse("login")
    assert Client().post(reverse("single-sign-on"))["location"] == reverse("login")
    assert Client().get(reverse("saml-metadata")).status_code == 404


@pytest.mark.parametrize("moment", ["2030-01-01T00:00:00+02:00", "-0044-03-15T00:00:00Z"])
@pytest.mark.parametrize(
    "place", ["saml:Assertion/saml:Conditions", ".//saml:SubjectConfirmationData", ".//saml:AuthnStatement"]
)
def test_a_time_that_is_none_of_the_library_s_signs_nobody_in_and_breaks_nothing(
    moment: str, place: str, provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody posts such a one: times are read before the signature."""
    client = Client()
    answer = provider.answer(asked(client))
    name = "SessionNotOnOrAfter" if place.endswith("AuthnStatement") else "NotOnOrAfter"
    answer.find(place, NAMES).set(name, moment)
    refused(client, answer, caplog, "does not match format")


def test_a_status_without_a_code_signs_nobody_in_and_breaks_nothing(
    provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    answer = provider.answer(asked(client))
    del answer.find("samlp:Status/samlp:StatusCode", NAMES).attrib["Value"]
    refused(client, answer, caplog, "an answer of SAML was refused")


def test_an_answer_of_anybody_s_writes_one_short_line_into_the_log(
    provider: SamlProvider, caplog: pytest.LogCaptureFixture
) -> None:
    answer = provider.answer(asked(Client()))
    status = answer.find("samlp:Status", NAMES)
    status.find("samlp:StatusCode", NAMES).set("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
    etree.SubElement(status, f"{{{PROTOCOL}}}StatusMessage").text = "\n[info] alice signed in" * 30_000
    post(SAMLResponse=posted(answer))
    [line] = [each.getMessage() for each in caplog.records if "was refused" in each.getMessage()]
    assert "not Success, was Responder" in line
    assert "\n" not in line
    assert len(line) < 400


def test_tries_are_limited(provider: SamlProvider) -> None:
    assert [post(SAMLResponse="*").status_code for _ in range(31)] == [302] * 30 + [429]
    # An office has one address: a sign-in is a question and its answer, and is counted once.
    assert [Client().post(reverse("single-sign-on")).status_code for _ in range(31)] == [200] * 30 + [429]
