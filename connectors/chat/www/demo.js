// The page to try the chat: ?lang=, ?theme=, ?color=, ?position= become the options of the script tag.
"use strict";
const asked = new URLSearchParams(location.search);
const widget = document.createElement("script");
widget.src = new URL("widget.js", location.href).href;
widget.async = true;
for (const name of ["lang", "theme", "color", "position", "title", "open"]) {
  if (asked.has(name)) widget.dataset[name] = asked.get(name);
}
if (asked.has("theme")) document.documentElement.dataset.theme = asked.get("theme");
document.head.append(widget);
document.getElementById("snippet").textContent = `<script src="${widget.src}" async><\/script>`;
document.getElementById("open").addEventListener("click", () => window.Omnigate.open());
// The embedded default has the admin port beside this one; elsewhere it is not for visitors.
const local = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
const desk = document.getElementById("console");
if (local) desk.href = `http://${location.hostname}:${asked.get("admin") || 8081}/chat`; else desk.removeAttribute("href");
const tries = { "In German": "?lang=de", "In Chinese": "?lang=zh", "In Arabic": "?lang=ar", Dark: "?theme=dark", "Other colour": "?color=%230f766e" };
document.getElementById("try").append(...Object.entries(tries).map(([text, href]) => Object.assign(document.createElement("a"), { text, href })));
