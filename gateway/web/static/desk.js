// The agent console: follows the gateway's notifications, groups them by conversation, answers.
"use strict";
const $ = (id) => document.getElementById(id);
const KEPT = 200;
const conversations = new Map();
let token = sessionStorage.getItem("token") || "", current = null, chosen = null, typedAt = 0;

function node(tag, text, options = {}) {
  const made = Object.assign(document.createElement(tag), options);
  if (text !== undefined) made.textContent = text;
  return made;
}
const state = (text) => { $("state").textContent = text; };
function login(text) { state(text); $("login").hidden = false; $("desk").hidden = true; $("token").focus(); }

async function call(method, params) {
  const response = await fetch("/api/" + method, { method: "POST", headers: { Authorization: "Bearer " + token, "Content-Type": "application/json" }, body: JSON.stringify(params) });
  if (response.status === 401) { login("The token is wrong."); throw new Error("401"); }
  const answer = await response.json();
  if (answer.error) throw new Error(answer.error.message);
  return answer.result;
}

async function follow(history) {
  const response = await fetch("/api/events" + (history ? "?history=1" : ""), { headers: { Authorization: "Bearer " + token } });
  if (response.status === 401) return login(token ? "The token is wrong." : "");
  if (!response.ok) throw new Error(await response.text());
  $("login").hidden = true;
  $("desk").hidden = false;
  state("Following");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("ended");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.trim()) take(JSON.parse(line));
    draw();
  }
}
async function run() {
  for (let history = conversations.size === 0;; history = false) {
    try { await follow(history); return; } catch { state("The gateway is away; trying again."); }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function take(event) {
  const { params } = event, id = params?.conversation?.id;
  if (!id || !params.channel) return;
  const known = conversations.get(id) || { id, channel: params.channel.id, name: "", items: [], typing: 0 };
  conversations.delete(id);
  conversations.set(id, known);
  const who = params.message?.from || params.from;
  if (who?.name) known.name = who.name;
  if (event.method === "typing.started") { known.typing = Date.now(); return; }
  if (event.method === "typing.stopped") { known.typing = 0; return; }
  if (event.method.startsWith("message.") && params.message) known.typing = 0;
  const first = known.items.find((item) => item.kind === "in" && item.event.params.message.id === params.message?.id);
  if (first && event.method === "message.updated") first.text = words(params.message) + " (edited)";
  if (first && event.method === "message.deleted") first.gone = true;
  known.items.push({ event, text: said(event), kind: event.method === "message.received" ? "in" : "note" });
  known.items.splice(0, known.items.length - KEPT);
  current ||= id;
  if (id === current && (known.items.at(-1).kind === "in" || !chosen)) chosen = known.items.at(-1);
}
function said({ method, params }) {
  if (method !== "message.received") return method + (params.status ? ": " + params.status : "");
  return words(params.message);
}
function words(message) {
  return message.text || (message.parts || []).map((part) => part.media?.name || part.title || part.type).join(", ");
}

function draw() {
  $("none").hidden = conversations.size > 0;
  $("list").replaceChildren(...[...conversations.values()].reverse().map((one) => {
    const button = node("button", undefined, { type: "button", onclick: () => { current = one.id; chosen = one.items.findLast((item) => item.kind === "in") || one.items.at(-1); draw(); } });
    const last = one.items.filter((item) => item.kind !== "note").at(-1);
    button.append(node("b", one.name || one.channel), node("span", last ? last.text : ""));
    if (one.id === current) button.setAttribute("aria-current", "true");
    const item = node("li");
    item.append(button);
    return item;
  }));
  const open = conversations.get(current);
  $("log").replaceChildren(...(open ? open.items : []).map((one) => {
    const item = node("li", undefined, { className: one.kind + (one.gone ? " gone" : "") });
    const button = node("button", one.text, { type: "button", onclick: () => { chosen = one; draw(); } });
    button.setAttribute("aria-pressed", String(one === chosen));
    if (one.error) button.append(node("small", one.error));
    item.append(button);
    return item;
  }));
  $("log").scrollTop = $("log").scrollHeight;
  $("typing").textContent = open && Date.now() - open.typing < 6000 ? "The visitor is writing…" : "";
  $("json").textContent = chosen ? JSON.stringify(chosen.event, null, 2) : "";
}

async function answer() {
  const open = conversations.get(current), text = $("text").value.trim();
  if (!open || !text) return;
  const params = { channel: open.channel, conversation: open.id };
  const titles = $("buttons").value.split("|").map((title) => title.trim()).filter(Boolean);
  if (titles.length) params.parts = [{ type: "choice", kind: "buttons", body: text, items: titles.map((title, at) => ({ id: "b" + (at + 1), title })) }];
  else params.text = text;
  params.idempotency_key = crypto.randomUUID?.() || String(Math.random()).slice(2);
  const item = { event: { jsonrpc: "2.0", id: params.idempotency_key, method: "message.send", params }, text, kind: "out" };
  open.items.push(item);
  chosen = item;
  $("text").value = $("buttons").value = "";
  draw();
  try { await call("message.send", params); } catch (error) { item.error = "Not sent: " + error.message; draw(); }
}

$("answer").addEventListener("submit", (event) => { event.preventDefault(); answer(); });
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); answer(); }
});
$("text").addEventListener("input", () => {
  const open = conversations.get(current);
  if (!open || Date.now() - typedAt < 3000) return;
  typedAt = Date.now();
  call("typing.send", { channel: open.channel, conversation: open.id }).catch(() => {});
});
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  run();
});
setInterval(() => { if (!$("desk").hidden) $("typing").textContent = Date.now() - (conversations.get(current)?.typing || 0) < 6000 ? "The visitor is writing…" : ""; }, 1000);
if (token) run(); else login("");
