// Passkeys: a form marked data-passkey asks the browser for one before it is sent. Its options are in the page, or come
// from where data-options-url says.
"use strict";

const bytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const withBytes = (credentials) => (credentials || []).map((each) => ({ ...each, id: bytes(each.id) }));

async function optionsOf(form) {
  if (!form.dataset.optionsUrl) return JSON.parse(document.getElementById("passkey-options").textContent);
  const answer = await fetch(form.dataset.optionsUrl, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error("The server does not answer: try again in a minute.");
  return (await answer.json()).request_options;
}

async function made(publicKey) {
  const options = { ...publicKey, challenge: bytes(publicKey.challenge) };
  options.user = { ...publicKey.user, id: bytes(publicKey.user.id) };
  options.excludeCredentials = withBytes(publicKey.excludeCredentials);
  const credential = await navigator.credentials.create({ publicKey: options });
  return [credential, { attestationObject: text(credential.response.attestationObject) }];
}

async function found(publicKey) {
  const options = { ...publicKey, challenge: bytes(publicKey.challenge) };
  options.allowCredentials = withBytes(publicKey.allowCredentials);
  const credential = await navigator.credentials.get({ publicKey: options });
  const { authenticatorData, signature, userHandle } = credential.response;
  const response = { authenticatorData: text(authenticatorData), signature: text(signature) };
  return [credential, userHandle ? { ...response, userHandle: text(userHandle) } : response];
}

async function ask(form) {
  const { publicKey } = await optionsOf(form);
  const [credential, response] = await (form.dataset.passkey === "create" ? made(publicKey) : found(publicKey));
  form.elements.credential.value = JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
    clientExtensionResults: credential.getClientExtensionResults(),
  });
  form.submit();
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-passkey]");
  if (!form) return;
  event.preventDefault();
  const said = form.querySelector("[data-passkey-fault]");
  said.hidden = true;
  ask(form).catch((fault) => {
    // Whoever closes the browser's question gets NotAllowedError, and has said nothing wrong.
    said.textContent = !navigator.credentials
      ? "Passkeys need an address with https."
      : fault.name === "NotAllowedError" ? "No passkey was used." : fault.message;
    said.hidden = false;
  });
});
