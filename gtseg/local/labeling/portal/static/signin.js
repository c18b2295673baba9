// A personal link is /_portal/signin#TOKEN. Browsers do not send the part after #; the page sends the token once, in a request's body.

import { post } from "./api.js";

const status = document.getElementById("status");
const field = document.getElementById("token");

async function enter(token) {
  status.classList.remove("alarm");
  status.textContent = "Signing in…";
  try {
    const { to } = await post("session", { token });
    location.replace(to);
  } catch (error) {
    status.classList.add("alarm");
    status.textContent = error.message;
    field.focus();
  }
}

function tokenOf(text) {
  return decodeURIComponent(text.trim().split("#").pop());
}

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(tokenOf(field.value));
});

function enterByLink() {
  if (location.hash.length < 2) return;
  const token = tokenOf(location.hash);
  history.replaceState(null, "", location.pathname);
  enter(token);
}
window.addEventListener("hashchange", enterByLink);
enterByLink();

document.body.inert = false; // before this, clicks have no handlers
