"""A passkey's device in software, which answers as the one that a test says: honest, replayed, or of another site."""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

# Django's test client asks for this host, and devices answer over https only.
HOST = "testserver"


@dataclass
class Device:
    """One credential; `origin` is what the browser would say that it looks at."""

    origin: str = f"https://{HOST}"
    verifies: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    user: str = ""

    def made(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer the options of a registration."""
        asked = options["publicKey"]
        self.user = asked["user"]["id"]
        public = ES256.from_cryptography_key(self.key.public_key())  # type: ignore[no-untyped-call]  # not typed there
        credential = AttestedCredentialData.create(bytes(16), self.credential_id, public)
        flags = AuthenticatorData.FLAG.AT | self._flags()
        data = AuthenticatorData.create(self._rp_hash(), flags, 0, credential)
        client = CollectedClientData.create("webauthn.create", asked["challenge"], self.origin)
        attestation = AttestationObject.create("none", data, {})
        return self._answer(client, {"attestationObject": websafe_encode(attestation)})

    def found(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer the options of a sign-in."""
        asked = options["publicKey"]
        data = AuthenticatorData.create(self._rp_hash(), self._flags(), 1)
        client = CollectedClientData.create("webauthn.get", asked["challenge"], self.origin)
        signature = self.key.sign(bytes(data) + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            client,
            {
                "authenticatorData": websafe_encode(data),
                "signature": websafe_encode(signature),
                "userHandle": self.user,
            },
        )

    def _flags(self) -> AuthenticatorData.FLAG:
        present = AuthenticatorData.FLAG.UP
        return present | AuthenticatorData.FLAG.UV if self.verifies else present

    def _rp_hash(self) -> bytes:
        return hashlib.sha256(HOST.encode()).digest()

    def _answer(self, client: bytes, response: dict[str, str]) -> dict[str, Any]:
        name = websafe_encode(self.credential_id)
        return {
            "id": name,
            "rawId": name,
            "type": "public-key",
            "response": {"clientDataJSON": websafe_encode(client), **response},
            "clientExtensionResults": {},
        }
