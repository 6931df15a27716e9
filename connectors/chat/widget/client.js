// The protocol (PROTOCOL.md), without anything one can see: a WebSocket, else long polling; resuming; the outbox.
const VERSION = "1";
const OPEN_MS = 8000, CALL_MS = 20000, PING_MS = 10000, WS_AGAIN_MS = 180000, BACKOFF_MAX_MS = 30000;
const GONE = ["expired", "invalid", "revoked", "identity_expired"];

class Fault extends Error {
  constructor(error) {
    super(error.message || "error");
    this.code = error.code || 0;
    this.data = error.data || {};
    this.retryable = !!this.data.retryable;
  }
}
const lost = () => new Fault({ code: -1, message: "no connection", data: { retryable: true } });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A browser may refuse storage (private windows, third-party frames): then it lasts as long as the page.
class Store {
  constructor(prefix) { this.prefix = prefix; this.memory = {}; }
  get(key, fallback = null) {
    let text = this.memory[key];
    try { text = localStorage.getItem(this.prefix + key) ?? text; } catch { /* as above */ }
    try { return text == null ? fallback : JSON.parse(text); } catch { return fallback; }
  }
  set(key, value) {
    const text = value == null ? null : JSON.stringify(value);
    if (text == null) delete this.memory[key]; else this.memory[key] = text;
    try {
      if (text == null) localStorage.removeItem(this.prefix + key); else localStorage.setItem(this.prefix + key, text);
    } catch { /* as above */ }
  }
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "w-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Client {
  // `on`: change() when anything to be shown is other than before, message(entry) for each new one of the company's.
  constructor({ base, locale, jwt, on }) {
    Object.assign(this, { base, locale, jwt, on });
    this.store = new Store("omnigate:" + base + ":");
    this.state = "idle"; // idle, connecting, online, offline, refused
    this.retryAt = 0;
    this.mode = null; // ws, poll
    this.limits = null;
    this.presence = { status: "unknown", agents: [] };
    this.typing = null;
    this.calls = new Map();
    this.lastCall = 0;
    this.failures = 0;
    this.wsBadUntil = 0;
    this.reset();
    this.conversation = null;
    this.outbox = this.store.get("outbox", []);
    addEventListener("online", () => this.hurry());
    addEventListener("offline", () => this.check());
    addEventListener("pagehide", () => this.ws && this.mode === "ws" && this.flushRead());
    addEventListener("pageshow", (event) => event.persisted && this.check());
    document.addEventListener("visibilitychange", () => document.hidden || (this.hurry(), this.check()));
    addEventListener("storage", (event) => this.elsewhere(event.key || ""));
  }

  reset() {
    this.seq = 0; this.messages = new Map(); this.receipts = new Map(); this.more = false; this.loaded = false; this.ended = false;
  }
  get known() { return this.store.get("token") !== null || this.outbox.length > 0; }
  get seen() { return this.store.get("seen", 0); }
  change() { this.on.change(); }

  // Another tab of this site.
  elsewhere(key) {
    if (!key.startsWith(this.store.prefix)) return;
    const name = key.slice(this.store.prefix.length);
    if (name === "token" && !this.store.get("token") && this.state !== "idle") this.restart();
    if (name === "token" && this.store.get("token") && this.state === "idle") this.start();
    if (name === "seen") this.change();
  }

  start() {
    if (this.running) return;
    this.running = true;
    this.run();
  }
  async run() {
    while (this.running) {
      this.set(this.failures > 1 ? this.state : "connecting");
      try {
        await this.connect();
        await this.live();
      } catch (error) {
        if (!(error instanceof Fault)) console.warn("omnigate:", error);
        if (error.code === 403 || error.code === 404 || (error.code === -32020 && !GONE.includes(error.data.reason))) {
          console.warn("omnigate: the chat refuses this page or its visitor:", error.message);
          this.running = false;
          return this.set("refused");
        }
        if (error.code === -32020) this.forget();
        this.pause = error.data?.retry_after ? error.data.retry_after * 1000 : error.after;
      }
      this.drop();
      if (!this.running) return;
      this.failures += 1;
      const most = Math.min(BACKOFF_MAX_MS, 1000 * 2 ** (this.failures - 1));
      const ms = this.pause ?? (this.failures === 1 ? 200 : most * (0.5 + Math.random() / 2));
      this.pause = undefined;
      this.retryAt = Date.now() + ms;
      this.set("offline");
      await Promise.race([wait(ms), new Promise((resolve) => { this.wake = resolve; })]);
    }
  }
  hurry() { if (this.state === "offline" && this.wake) { this.failures = Math.min(this.failures, 1); this.wake(); } }
  restart() { this.cut?.(lost()); this.wake?.(); }
  set(state) { if (this.state !== state) { this.state = state; } this.change(); }

  forget() {
    for (const key of ["token", "conversation", "seen"]) this.store.set(key, null);
    this.conversation = null;
    this.reset();
  }

  // --- connecting -------------------------------------------------------------------------------------------------
  async connect() {
    this.config ||= await this.http("config", { method: "GET" });
    // Two tabs that open at the same time shall not begin two conversations.
    const first = !this.store.get("token") && navigator.locks;
    if (first) await navigator.locks.request(this.store.prefix, () => this.attach()); else await this.attach();
  }
  async attach() {
    if (Date.now() >= this.wsBadUntil) {
      try { return await this.attachSocket(); } catch (error) {
        if (error.code !== -1) throw error;
        if (!error.early) throw error;
      }
    }
    const result = await this.post("hello", this.helloParams());
    if (Date.now() >= this.wsBadUntil) this.wsBadUntil = Date.now() + WS_AGAIN_MS;
    this.mode = "poll";
    await this.welcome(result);
  }
  async attachSocket() {
    const ws = await this.open();
    this.adopt(ws);
    try {
      const result = await this.call("hello", this.helloParams(), OPEN_MS);
      await this.welcome(result);
    } catch (error) { this.drop(); throw error; }
  }
  open() {
    return new Promise((resolve, reject) => {
      const fail = () => reject(Object.assign(lost(), { early: true }));
      let ws;
      try { if (!this.config.ws) return fail(); ws = new WebSocket(this.config.ws, ["omnigate.chat.1"]); } catch { return fail(); }
      const timer = setTimeout(() => { ws.close(); fail(); }, OPEN_MS);
      ws.onopen = () => { clearTimeout(timer); resolve(ws); };
      ws.onclose = ws.onerror = () => { clearTimeout(timer); fail(); };
    });
  }
  adopt(ws) {
    this.ws = ws; this.mode = "ws"; this.heard = Date.now();
    ws.onmessage = (event) => this.frame(JSON.parse(event.data));
    ws.onclose = (event) => { if (this.ws === ws) this.gone(event.code); };
    ws.onerror = null;
  }
  gone(code) {
    const error = lost();
    if (this.after != null) { error.after = this.after; this.after = null; }
    else if (code === 1012) error.after = Math.random() * 3000;
    this.ws = null;
    for (const { reject } of this.calls.values()) reject(error);
    this.calls.clear();
    this.cut?.(error);
  }
  drop() {
    const ws = this.ws;
    this.ws = null; this.mode = null; this.typing = null;
    if (ws) { ws.onclose = ws.onmessage = null; ws.close(); }
    for (const { reject } of this.calls.values()) reject(lost());
    this.calls.clear();
    this.polling?.abort();
  }
  page() { return { url: location.href.split("#")[0].slice(0, 2000), title: document.title.slice(0, 300), referrer: document.referrer.slice(0, 2000) }; }
  helloParams() {
    const params = { protocol: 1, page: this.page(), locale: this.locale, client: { name: "omnigate-widget", version: VERSION } };
    const token = this.store.get("token");
    if (token) params.token = token;
    if (token && this.loaded) params.after = this.seq;
    if (this.jwt) params.jwt = this.jwt;
    this.resumedWith = params.after;
    return params;
  }
  async welcome(result) {
    const other = this.conversation !== null && result.conversation !== this.conversation;
    if (other) this.reset();
    if (this.store.get("conversation") !== result.conversation) this.store.set("seen", 0);
    this.conversation = result.conversation;
    this.store.set("conversation", result.conversation);
    this.store.set("token", result.session.token);
    this.limits = result.limits;
    this.presence = result.presence;
    this.visitor = result.visitor || {};
    this.heartbeat = (result.heartbeat_secs || 30) * 1000;
    this.pollMs = (result.poll_secs || 25) * 1000;
    this.ended = result.ended;
    if (this.resumedWith === undefined || other) this.seq = Math.max(this.seq, result.seq);
    if (!this.loaded || result.gap || other) {
      if (result.seq > 0) await this.history();
      this.loaded = true;
    }
    this.failures = 0;
    this.set("online");
    this.flush();
  }

  // --- connected --------------------------------------------------------------------------------------------------
  live() {
    return new Promise((_, reject) => {
      const beat = setInterval(() => this.beat(), 1000);
      this.cut = (error) => { clearInterval(beat); this.cut = null; reject(error); };
      if (this.mode === "poll") this.poll().catch((error) => this.cut?.(error));
      else if (!this.ws) this.cut(lost());
    });
  }
  beat() {
    if (this.mode === "ws" && !this.checking && Date.now() - this.heard > this.heartbeat) this.check();
    if (this.typing && this.typing.until < Date.now()) { this.typing = null; this.change(); }
  }
  async check() {
    if (this.mode !== "ws" || this.checking || this.state !== "online") return;
    this.checking = true;
    try { await this.call("ping", {}, navigator.onLine === false ? 2000 : PING_MS); } catch { this.cut?.(lost()); }
    this.checking = false;
  }
  async poll() {
    while (this.mode === "poll") {
      if (Date.now() >= this.wsBadUntil) await this.upgrade();
      if (this.mode !== "poll") return;
      this.polling = new AbortController();
      const list = await this.http("poll?after=" + this.seq, { method: "GET", signal: this.polling.signal }, this.pollMs + 10000);
      for (const item of list) this.notified(item);
    }
  }
  async upgrade() {
    this.wsBadUntil = Date.now() + WS_AGAIN_MS;
    try { await this.attachSocket(); } catch (error) {
      if (error.code !== -1) throw error;
      this.mode = "poll";
    }
  }
  frame(data) {
    this.heard = Date.now();
    if (data.method) return this.notified(data);
    const call = this.calls.get(data.id);
    if (!call) return;
    this.calls.delete(data.id);
    if (data.error) call.reject(new Fault(data.error)); else call.resolve(data.result);
  }
  call(method, params, ms = CALL_MS) {
    if (this.mode === "poll") return this.post(method, params, ms);
    return new Promise((resolve, reject) => {
      if (!this.ws) return reject(lost());
      const id = (this.lastCall += 1);
      const timer = setTimeout(() => { this.calls.delete(id); reject(lost()); this.check(); }, ms);
      this.calls.set(id, {
        resolve: (value) => { clearTimeout(timer); resolve(value); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      });
      this.ws.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }
  notify(method, params) {
    if (this.state !== "online") return;
    if (this.mode === "poll") { this.http("rpc", this.body({ jsonrpc: "2.0", method, params })).catch(() => {}); return; }
    this.ws?.send(JSON.stringify({ jsonrpc: "2.0", method, params }));
  }
  body(data) { return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) }; }
  async post(method, params, ms = CALL_MS) {
    const answer = await this.http("rpc", this.body({ jsonrpc: "2.0", id: 1, method, params }), ms, method === "hello");
    if (answer.error) throw new Fault(answer.error);
    return answer.result;
  }
  async http(path, options, ms = CALL_MS, open = false) {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), ms);
    options.signal?.addEventListener("abort", () => limit.abort());
    const headers = { ...options.headers };
    const token = this.store.get("token");
    if (token && !open && path !== "config") headers.Authorization = "Bearer " + token;
    let response, text;
    try {
      response = await fetch(this.base + path, { ...options, headers, signal: limit.signal, credentials: "omit", cache: "no-store" });
      text = await response.text();
    } catch { throw lost(); } finally { clearTimeout(timer); }
    return this.understood(response, text);
  }
  understood(response, text) {
    let data = null;
    try { data = text ? JSON.parse(text) : {}; } catch { /* not from the gateway: a proxy's page */ }
    if (data && data.error) throw new Fault(data.error);
    if (response.ok && data !== null) return data;
    const passing = response.ok || response.status === 408 || response.status === 429 || response.status >= 500;
    const after = Number(response.headers?.get("Retry-After")) || undefined;
    throw new Fault({ code: response.status, message: text.slice(0, 200) || "HTTP " + response.status, data: { retryable: passing, retry_after: after } });
  }

  // --- what comes -------------------------------------------------------------------------------------------------
  notified({ method, params }) {
    if (params.seq !== undefined) {
      if (params.seq <= this.seq) return;
      this.seq = params.seq;
      this.entry(method, params, true);
      this.acknowledge();
    } else if (method === "typing") {
      this.typing = params.active ? { name: params.name, until: Date.now() + 10000 } : null;
    } else if (method === "presence") {
      this.presence = params;
    } else if (method === "reconnect") {
      this.after = params.after_ms;
    }
    this.change();
  }
  entry(method, params, fresh) {
    if (method === "message") {
      const message = { ...params.message, seq: params.seq, pos: params.pos };
      const had = this.messages.get(message.id);
      const older = had && (had.deleted || (!message.deleted && had.revision > message.revision));
      if (!older) this.messages.set(message.id, { ...message, status: had?.status });
      this.sent(message.id);
      if (fresh) this.ended = false;
      if (fresh && message.from?.role !== "visitor") { this.typing = null; if (!had) this.on.message(message); }
    } else if (method === "receipt") {
      if (this.receipts.get(params.message) !== "read") this.receipts.set(params.message, params.status);
    } else if (method === "ended") {
      this.messages.set("ended:" + params.seq, { id: "ended:" + params.seq, ended: params.by, pos: [params.seq, params.seq], seq: params.seq, revision: 0 });
      if (fresh) this.ended = true;
    }
  }
  // What is shown, oldest first; what has not been taken yet stands at the end.
  list() {
    const list = [...this.messages.values()].sort((a, b) => a.pos[0] - b.pos[0] || a.pos[1] - b.pos[1]);
    let status = "sent";
    for (let at = list.length - 1; at >= 0; at -= 1) {
      const receipt = this.receipts.get(list[at].id);
      if (receipt === "read" || (receipt && status === "sent")) status = receipt;
      if (list[at].from?.role === "visitor") list[at].status = status;
    }
    return list.concat(this.outbox.map((item) => ({
      id: item.id, from: { role: "visitor" }, at: item.at, revision: 0, text: item.text, parts: item.show,
      status: item.error ? "failed" : "waiting", error: item.error,
    })));
  }
  get unread() {
    const seen = this.seen;
    return [...this.messages.values()].filter((m) => m.from && m.from.role !== "visitor" && !m.deleted && m.pos[0] > seen).length;
  }
  async history() {
    const first = [...this.messages.values()].reduce((least, m) => Math.min(least, m.seq), Infinity);
    const params = { limit: this.limits?.history_max || 50 };
    if (this.loaded && first < Infinity) params.before = first;
    const page = await this.call("history", params);
    for (const { method, params: item } of page.events) this.entry(method, item, false);
    this.more = page.more;
    this.change();
  }
  acknowledge() {
    if (this.mode === "poll") return; // the next poll does it
    clearTimeout(this.acking);
    this.acking = setTimeout(() => this.notify("ack", { seq: this.seq }), 500);
  }
  read() {
    if (this.seq <= this.seen) return;
    this.store.set("seen", this.seq);
    clearTimeout(this.reading);
    this.reading = setTimeout(() => this.flushRead(), 700);
    this.change();
  }
  flushRead() {
    if (this.state !== "online" || this.reported === this.seen || !this.seen) return;
    this.reported = this.seen;
    clearTimeout(this.acking);
    this.notify("read", { seq: this.seen });
  }

  // --- what goes --------------------------------------------------------------------------------------------------
  send(params, show) {
    const id = newId();
    this.outbox.push({ id, at: new Date().toISOString(), params, text: params.text, show });
    this.store.set("outbox", this.outbox);
    this.start();
    this.hurry();
    this.change();
    this.flush();
    return id;
  }
  sent(id) {
    if (!this.outbox.some((item) => item.id === id)) return;
    this.outbox = this.outbox.filter((item) => item.id !== id);
    this.store.set("outbox", this.outbox);
  }
  again(id) {
    const item = this.outbox.find((one) => one.id === id);
    if (item) { delete item.error; this.store.set("outbox", this.outbox); this.flush(); this.change(); }
  }
  discard(id) { this.sent(id); this.change(); }
  // What a visitor may still change: words of his own, taken by the server, for as long as it says.
  text(message) {
    const { parts } = message;
    if (!parts?.length) return message.text;
    return parts.length === 1 && parts[0].type === "text" ? parts[0].body : null;
  }
  until(message) {
    const mine = message?.from?.role === "visitor" && message.seq && !message.deleted;
    return mine ? new Date(message.at).getTime() + (this.limits?.edit_secs || 0) * 1000 : 0;
  }
  async edit(id, text) {
    const revision = this.messages.get(id).revision + 1;
    await this.call("message.edit", { id, revision, text });
    this.changed(id, { text, parts: undefined, revision });
  }
  async remove(id) {
    await this.call("message.delete", { id });
    this.changed(id, { text: "", parts: undefined, deleted: true });
  }
  changed(id, values) {
    const had = this.messages.get(id);
    if (had && !had.deleted && !(had.revision > values.revision)) this.messages.set(id, { ...had, ...values });
    this.change();
  }

  // One after the other: the next when the one before has its result. The same id again is the same message.
  async flush() {
    if (this.flushing) return;
    this.flushing = true;
    try {
      for (let item; this.state === "online" && (item = this.outbox.find((one) => !one.error));) {
        try {
          const params = { ...item.params, id: item.id };
          if (this.mode === "poll") params.page = this.page();
          const result = await this.call("message.send", params);
          const message = { id: item.id, from: { role: "visitor" }, at: result.at, text: item.text, parts: item.show, revision: 0, seq: result.seq, pos: result.pos };
          if (!this.messages.has(item.id)) this.messages.set(item.id, message);
          this.ended = false;
          this.sent(item.id);
        } catch (error) {
          if (error.code === -1 && this.mode !== "poll") { this.check(); break; }
          if (error.code === -32020) { this.cut?.(error); break; }
          if (error.retryable) { await wait((error.data.retry_after || 2) * 1000); }
          else { item.error = error.message; this.store.set("outbox", this.outbox); }
        }
        this.change();
      }
    } finally { this.flushing = false; }
  }
  writing(active) {
    const now = Date.now();
    if (active && now - (this.wroteAt || 0) < 3000) return;
    if (!active && !this.wroteAt) return;
    this.wroteAt = active ? now : 0;
    this.notify("typing", { active });
  }
  upload(file, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", this.base + "files?name=" + encodeURIComponent(file.name || "file"));
      request.setRequestHeader("Authorization", "Bearer " + this.store.get("token"));
      request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
      request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
      request.onerror = request.ontimeout = () => reject(lost());
      request.onload = () => {
        const response = { ok: request.status < 300, status: request.status, headers: { get: (name) => request.getResponseHeader(name) } };
        try { resolve(this.understood(response, request.responseText)); } catch (error) { reject(error); }
      };
      request.send(file);
    });
  }
  identify(jwt) {
    this.jwt = jwt;
    if (this.state === "online" || this.state === "refused") { this.restart(); if (!this.running) this.start(); }
  }
  async end(forget) {
    const result = await this.call("session.close", { forget });
    if (forget) { this.forget(); this.outbox = []; this.store.set("outbox", null); this.jwt = null; this.running = false; this.cut?.(lost()); this.drop(); this.set("idle"); }
    return result;
  }
}
