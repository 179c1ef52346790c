"""An OpenID provider on this machine: discovery, authorization, token, keys and the user's information over real HTTP.

It holds a client to the letter: its secret, the registered callback, PKCE, codes that work once. What it says of
somebody, and with which faults, a test sets.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "heliograph", "a secret of theirs"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Provider:
    """The provider: who is signed in there, and its faults."""

    callback: str
    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    # Put over what it would say: of its discovery, its token, its user's information.
    document: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    key: rsa.RSAPrivateKey = field(default_factory=new_key)
    signs_with: rsa.RSAPrivateKey | None = None
    filler: int = 0
    codes: dict[str, str] = field(default_factory=dict)

    def authorize(self, query: dict[str, str]) -> str:
        """Return where somebody is sent who has signed in there."""
        assert query["redirect_uri"] == self.callback
        assert (query["client_id"], query["response_type"]) == (CLIENT_ID, "code")
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query["code_challenge"]
        return f"{self.callback}?{urlencode({'code': code, 'state': query['state']})}"

    def answer(self, path: str, form: dict[str, str], bearer: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a request."""
        if path == "/.well-known/openid-configuration":
            addresses = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            found = {name: self.issuer + to for name, to in (addresses | {"userinfo_endpoint": "/me"}).items()}
            return 200, {"issuer": self.issuer, **found, **self.document, "filler": "x" * self.filler}
        if path == "/keys":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
            return 200, {"keys": [public | {"kid": "one", "alg": "RS256", "use": "sig"}]}
        if path == "/me":
            return (200, {**self.claims, **self.told}) if bearer == "Bearer a token" else (401, {})
        challenge = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        right = (
            path == "/token"
            and challenge == base64.urlsafe_b64encode(verifier).decode().rstrip("=")
            and (form["client_id"], form["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
            and form["redirect_uri"] == self.callback
        )
        if not right:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        body = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 600, "sub": self.claims["sub"]}
        signed = jwt.encode(body | self.token, self.signs_with or self.key, "RS256", headers={"kid": "one"})
        return 200, {"access_token": "a token", "token_type": "Bearer", "expires_in": 600, "id_token": signed}


@contextmanager
def running(callback: str) -> Iterator[Provider]:
    """Run one; its address is its issuer."""
    provider = Provider(callback)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/authorize":
                self.send_response(302)
                self.send_header("location", provider.authorize({k: v[0] for k, v in parse_qs(url.query).items()}))
                self.send_header("content-length", "0")
                self.end_headers()
                return
            self._send({})

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            self._send({name: values[0] for name, values in form.items()})

        def _send(self, form: dict[str, str]) -> None:
            status, body = provider.answer(urlsplit(self.path).path, form, self.headers.get("authorization", ""))
            sent = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
