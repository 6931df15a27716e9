// What one sees.
class View {
  constructor(client, options) {
    this.client = client;
    this.options = options;
    this.lang = options.lang;
    this.uploads = [];
    this.isOpen = false;
    this.nodes = new Map();
    this.build();
  }
  t(key, values = {}) {
    const text = STRINGS[this.lang]?.[key] ?? STRINGS.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  }
  tx = (key, values) => this.t(key, values);

  build() {
    const { options } = this, t = this.tx, title = options.title || t("title");
    this.host = el("omnigate-chat");
    const shadow = this.host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    shadow.adoptedStyleSheets = [sheet];
    if (options.color) this.host.style.setProperty("--omnigate-color", options.color);
    if (options.colorText) this.host.style.setProperty("--omnigate-color-text", options.colorText);
    this.badge = el("span", { class: "badge", hidden: true });
    this.launcher = el("button", { type: "button", class: "launcher", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => this.toggle() }, icon("chat"), this.badge);
    this.presence = el("p", {});
    this.avatar = el("div", { class: "avatar", "aria-hidden": "true" }, options.avatar && safe(options.avatar) ? el("img", { src: safe(options.avatar), alt: "" }) : [...title][0].toUpperCase());
    this.menuButton = el("button", { type: "button", "aria-label": t("menu"), "aria-haspopup": "true", "aria-expanded": "false", onclick: () => this.menu(this.menuBox.hidden) }, icon("more"));
    this.menuBox = el("div", { class: "menu", hidden: true }, el("button", { type: "button", onclick: () => this.save() }, t("save")), el("button", { type: "button", onclick: () => { this.menu(false); this.client.end(false).catch(() => {}); } }, t("end")));
    this.notice = el("div", { class: "notice", role: "status", hidden: true });
    this.list = el("ol", {});
    this.older = el("button", { type: "button", class: "older", hidden: true, onclick: () => this.earlier() }, t("older"));
    this.empty = el("div", { class: "empty" }, icon("chat"), options.greeting || t("empty"));
    this.typing = el("div", { class: "typing", hidden: true }, el("i"), el("i"), el("i"));
    this.log = el("div", { class: "log", role: "log", "aria-live": "polite", "aria-relevant": "additions", "aria-label": t("messages"), tabindex: "0", onscroll: () => this.scrolled() }, this.older, this.empty, this.list, this.typing);
    this.said = el("div", { class: "hidden", role: "status" });
    this.jump = el("button", { type: "button", class: "jump", hidden: true, onclick: () => this.bottom() }, t("new"));
    this.uploadBox = el("div", { class: "uploads" });
    this.text = el("textarea", { rows: "1", "aria-label": t("label"), placeholder: t("write"), enterkeyhint: "send", oninput: () => this.typed(), onkeydown: (event) => this.key(event), onpaste: (event) => this.files(event.clipboardData?.files, event) });
    this.picker = el("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true", onchange: () => { this.files(this.picker.files); this.picker.value = ""; } });
    this.clip = el("button", { type: "button", "aria-label": t("attach"), title: t("attach"), onclick: () => this.picker.click() }, icon("clip"));
    this.go = el("button", { class: "go", "aria-label": t("send"), title: t("send"), disabled: true }, icon("send"));
    this.count = el("div", { class: "count", role: "status", hidden: true });
    this.drop = el("div", { class: "drop", hidden: true }, t("drop"));
    this.task = el("div", { class: "task", hidden: true }, el("span", { role: "status" }), el("button", { type: "button", "aria-label": t("cancel"), title: t("cancel"), onclick: () => this.edited() }, icon("close")));
    this.form = el("form", { onsubmit: (event) => { event.preventDefault(); this.submit(); } }, el("div", { class: "field" }, this.clip, this.text), this.picker, this.go);
    this.panel = el("div", { class: "panel", role: "dialog", "aria-label": title, hidden: true, onkeydown: (event) => this.escape(event) },
      el("header", {}, this.avatar, el("div", { class: "who" }, el("h2", {}, title), this.presence), this.menuButton, el("button", { type: "button", "aria-label": t("close"), onclick: () => this.close() }, icon("down"))),
      this.menuBox, this.notice, this.log, this.said, this.jump, this.uploadBox, this.task, this.form, this.count, this.drop);
    for (const [name, on] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) this.panel.addEventListener(name, (event) => this.dragged(event, name, on));
    this.root = el("div", { class: "root " + (options.position === "left" ? "left" : "right"), lang: this.lang, dir: RTL.includes(this.lang.split("-")[0]) ? "rtl" : "ltr" }, this.panel, this.launcher);
    shadow.append(this.root);
    this.theme();
    document.body.append(this.host);
    // Pictures come late and make the list longer: who was at its end stays there.
    new ResizeObserver(() => this.stick && this.bottom()).observe(this.list);
    setInterval(() => this.tick(), 1000);
    this.render();
  }
  theme() {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => {
      const dark = this.options.theme === "dark" || (this.options.theme !== "light" && query.matches);
      this.host.classList.toggle("dark", dark);
      this.root.classList.toggle("dark", dark);
    };
    query.addEventListener("change", paint);
    paint();
  }

  // --- opening ----------------------------------------------------------------------------------------------------
  toggle() { if (this.isOpen) this.close(); else this.open(); }
  open() {
    this.isOpen = true;
    this.panel.hidden = false;
    this.root.classList.add("open");
    this.launcher.setAttribute("aria-expanded", "true");
    this.launcher.firstChild.replaceWith(icon("close"));
    this.client.start();
    this.render();
    this.bottom();
    this.text.focus({ preventScroll: true });
    this.client.store.set("open", true);
  }
  close() {
    this.isOpen = false;
    this.menu(false);
    this.panel.hidden = true;
    this.root.classList.remove("open");
    this.launcher.setAttribute("aria-expanded", "false");
    this.launcher.firstChild.replaceWith(icon("chat"));
    this.launcher.focus({ preventScroll: true });
    this.client.store.set("open", null);
    this.render();
  }
  escape(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    if (!this.menuBox.hidden) { this.menu(false); this.menuButton.focus(); }
    else if (this.choosing) this.choose(null);
    else if (this.editing) this.edited();
    else this.close();
  }
  menu(open) {
    this.menuBox.hidden = !open;
    this.menuButton.setAttribute("aria-expanded", String(open));
    if (open) this.menuBox.firstChild.focus();
  }
  async save() {
    this.menu(false);
    let text;
    try { ({ text } = await this.client.call("transcript", {})); } catch { return; }
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    el("a", { href: url, download: "chat.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  // --- writing ----------------------------------------------------------------------------------------------------
  typed() {
    this.text.style.height = "auto";
    this.text.style.height = Math.min(this.text.scrollHeight, 132) + "px";
    const over = [...this.text.value].length - (this.client.limits?.text_max || 8000);
    this.count.hidden = over <= 0;
    this.count.textContent = over > 0 ? this.t("long", { count: over }) : "";
    this.go.disabled = !this.text.value.trim() || over > 0;
    if (!this.editing) this.client.writing(!!this.text.value.trim());
  }
  key(event) {
    if (event.key === "ArrowUp" && !this.text.value && !this.editing) {
      const last = this.client.list().reverse().find((message) => this.changeable(message));
      if (last && this.client.text(last) !== null) { event.preventDefault(); this.edit(last); }
    }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) { event.preventDefault(); this.submit(); }
  }
  submit() {
    const text = this.text.value.trim();
    if (!text || this.go.disabled) return;
    if (this.editing) return this.saveEdit(text);
    this.text.value = "";
    this.client.wroteAt = 0;
    this.client.send({ text });
    this.typed();
    this.bottom();
    this.text.focus({ preventScroll: true });
  }

  // --- changing what one has said ---------------------------------------------------------------------------------
  changeable(message) { return this.client.state === "online" && this.client.until(message) > Date.now(); }
  // The buttons beside a message, for the one they were asked for.
  choose(id) {
    const before = this.choosing;
    this.choosing = id;
    this.draw();
    const at = this.nodes.get(id ?? before)?.node.querySelector(id ? ".acts button:nth-child(2)" : ".acts button");
    at?.focus({ preventScroll: true });
  }
  edit(message) {
    this.choosing = null;
    this.editing = message.id;
    this.draft = this.text.value;
    this.text.value = this.client.text(message);
    this.task.hidden = false;
    this.task.firstChild.textContent = this.t("editing");
    this.goes("check", "save_edit");
    this.draw();
    this.typed();
    this.text.focus({ preventScroll: true });
  }
  // Back to what was being written.
  edited() {
    this.editing = null;
    this.task.hidden = true;
    this.task.className = "task";
    this.text.value = this.draft || "";
    this.goes("send", "send");
    this.draw();
    this.typed();
    this.text.focus({ preventScroll: true });
  }
  goes(name, label) {
    this.go.replaceChildren(icon(name));
    for (const attribute of ["aria-label", "title"]) this.go.setAttribute(attribute, this.t(label));
  }
  async saveEdit(text) {
    const id = this.editing, message = this.client.messages.get(id);
    this.go.disabled = true;
    try {
      if (text !== this.client.text(message)) await this.client.edit(id, text);
      if (this.editing === id) this.edited();
    } catch (error) { this.unchanged(error); this.typed(); }
  }
  async remove(id) {
    try { await this.client.remove(id); } catch (error) { this.unchanged(error); }
    this.choose(null);
    this.text.focus({ preventScroll: true });
  }
  unchanged(error) {
    const reason = error.code === -1 ? this.t("try_again") : error.code === -32007 ? this.t("too_late") : error.message;
    this.task.hidden = false;
    this.task.className = "task bad";
    this.task.firstChild.textContent = this.t("unchanged", { reason });
  }
  acts(message) {
    const t = this.tx, words = this.client.text(message), button = (label, onclick, extra) => el("button", { type: "button", onclick, ...extra }, label);
    const open = this.choosing === message.id;
    const more = button(icon("more"), () => this.choose(open ? null : message.id), { class: "more", "aria-expanded": String(open), "aria-label": t("change", { text: (words ?? message.text ?? "").slice(0, 60) }) });
    if (!open) return el("div", { class: "acts" }, more);
    const remove = button(t("delete"), () => {
      if (remove.textContent === t("sure")) this.remove(message.id); else remove.textContent = t("sure");
    }, { class: "delete" });
    return el("div", { class: "acts open" }, more, words === null ? null : button(t("edit"), () => this.edit(message)), remove);
  }
  answer(message, item) {
    const part = { type: "choice_reply", item_id: item.id, title: item.title || item.id, of: message.id };
    this.client.send({ parts: [part] }, [part]);
    this.bottom();
    this.text.focus({ preventScroll: true });
  }
  dragged(event, name, on) {
    if (![...(event.dataTransfer?.types || [])].includes("Files")) return;
    event.preventDefault();
    if (name === "dragleave" && this.panel.contains(event.relatedTarget)) return;
    this.drop.hidden = !on;
    if (name === "drop") this.files(event.dataTransfer.files);
  }
  files(files, event) {
    if (!files?.length) return;
    event?.preventDefault();
    for (const file of files) this.uploads.push({ file, done: 0, error: this.unfit(file) });
    this.renderUploads();
    this.pump();
  }
  unfit(file) {
    const { upload_max_bytes: most, upload_types: types } = this.client.limits || {};
    if (most !== undefined && file.size > most) return this.t("too_large", { name: file.name, size: size(most, this.lang) });
    const fits = (type) => type === "*/*" || type === file.type || (type.endsWith("*") && file.type.startsWith(type.slice(0, -1)));
    if (types && file.type && !types.some(fits)) return this.t("bad_type", { name: file.name });
    return null;
  }
  async pump() {
    if (this.pumping) return;
    this.pumping = true;
    for (let item; (item = this.uploads.find((one) => !one.error));) {
      if (this.client.state !== "online") { await wait(500); continue; }
      try {
        const got = await this.client.upload(item.file, (done) => { item.done = done; if (item.bar) item.bar.value = done; });
        if (!this.uploads.includes(item)) continue;
        this.uploads = this.uploads.filter((one) => one !== item);
        const show = { type: got.type, media: { name: got.name || item.file.name, mime: got.mime, size: got.size } };
        this.client.send({ parts: [{ type: got.type, file: got.file }] }, [show]);
        this.bottom();
      } catch (error) {
        if (error.retryable) { await wait((error.data.retry_after || 1.5) * 1000); continue; }
        item.error = error.code === 413 ? this.t("too_large", { name: item.file.name, size: size(this.client.limits?.upload_max_bytes || 0, this.lang) })
          : error.code === 415 ? this.t("bad_type", { name: item.file.name }) : this.t("upload_failed", { name: item.file.name });
      }
      this.renderUploads();
    }
    this.pumping = false;
  }
  renderUploads() {
    this.uploadBox.replaceChildren(...this.uploads.map((item) => {
      const remove = () => { this.uploads = this.uploads.filter((one) => one !== item); this.renderUploads(); };
      item.bar = item.error ? null : el("progress", { max: "1", value: item.done, "aria-label": this.t("uploading", { name: item.file.name }) });
      return el("div", { class: item.error ? "upload bad" : "upload", role: item.error ? "alert" : undefined }, el("span", {}, item.error || this.t("uploading", { name: item.file.name })), item.bar, el("button", { type: "button", onclick: remove }, this.t(item.error ? "remove" : "cancel")));
    }));
  }

  // --- showing ----------------------------------------------------------------------------------------------------
  tick() {
    if (this.client.state === "offline") this.renderState();
    if (Date.now() > this.expires) this.render(); // what could be changed until now
  }
  render() {
    if (this.drawing) return;
    this.drawing = true;
    queueMicrotask(() => { this.drawing = false; this.draw(); });
  }
  draw() {
    const near = this.stick !== false, list = this.client.list();
    this.renderState();
    this.renderList(list);
    const { typing, unread } = this.client;
    this.empty.hidden = list.length > 0 || (!this.client.loaded && this.client.state === "online");
    this.older.hidden = !this.client.more;
    this.typing.hidden = !typing;
    const said = typing ? this.t("typing", { name: typing.name || this.t("agent") }) : "";
    if (this.said.textContent !== said) this.said.textContent = said;
    this.clip.hidden = this.client.limits?.upload_max_bytes === 0;
    if (near) this.bottom();
    if (this.isOpen && !document.hidden && near) this.client.read();
    this.badge.hidden = this.isOpen || !unread;
    this.badge.textContent = unread > 99 ? "99+" : String(unread);
    this.launcher.setAttribute("aria-label", this.t(this.isOpen ? "close" : "open") + (unread && !this.isOpen ? ", " + this.t("unread", { count: unread }) : ""));
  }
  renderState() {
    const { state, presence, failures, retryAt } = this.client;
    const agents = presence.agents || [];
    const words = { online: this.t("online"), away: this.t("away"), offline: this.t("offline_agents") };
    const connected = state === "online";
    const shown = connected ? (agents.length ? agents.map((agent) => agent.name).filter(Boolean).join(", ") : "") || words[presence.status] || this.options.subtitle || this.t("away")
      : state === "idle" ? this.options.subtitle || this.t("away") : state === "connecting" ? this.t("connecting") : state === "refused" ? this.t("refused") : this.t("connecting");
    const key = [shown, state, presence.status].join();
    if (this.shownState !== key) {
      this.shownState = key;
      this.presence.replaceChildren(el("span", { class: "dot " + (connected ? presence.status : state === "offline" ? "lost" : "") }), shown);
    }
    if (state === "refused") return this.tell(this.t("refused"));
    if (state === "offline" && (failures > 1 || navigator.onLine === false)) {
      this.wasLost = true;
      const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
      return this.tell(this.t("lost"), seconds > 2 ? this.t("retry") : null);
    }
    if (connected && this.wasLost) {
      this.wasLost = false;
      this.tell(this.t("back"), null, true);
      setTimeout(() => this.client.state === "online" && this.tell(null), 3000);
    }
    if (state === "idle") this.tell(null);
  }
  tell(text, button, good) {
    const key = text ? text + (button || "") : "";
    if (this.told === key) return;
    this.told = key;
    this.notice.hidden = !text;
    this.notice.className = good ? "notice good" : "notice";
    this.notice.replaceChildren(...(text ? [el("span", {}, text)] : []), ...(button ? [el("button", { type: "button", onclick: () => this.client.hurry() }, button)] : []));
  }
  renderList(list) {
    const rows = [];
    const chosen = new Map();
    for (const m of list) for (const part of m.parts || []) if (part.type === "choice_reply" && part.of) chosen.set(part.of, part.item_id);
    const follows = (message, before) => !!before?.from && !!message?.from && before.from.role === message.from.role && before.from.name === message.from.name && new Date(message.at) - new Date(before.at) < 300000;
    let day = null, before = null;
    this.expires = Infinity;
    for (const [index, message] of list.entries()) {
      const at = message.at ? new Date(message.at) : null;
      if (at && at.toDateString() !== day) { day = at.toDateString(); rows.push({ key: "day:" + day, sign: "", make: () => el("li", { class: "day" }, this.day(at)) }); before = null; }
      const same = follows(message, before), next = list[index + 1];
      // Of several in a row the last has the time and the ticks, for the eye.
      const quiet = follows(next, message) && next.status === message.status && message.status !== "failed" && !message.revision;
      const open = this.changeable(message) && (message.id === this.choosing ? 2 : 1);
      if (open) this.expires = Math.min(this.expires, this.client.until(message));
      const sign = [open, this.editing === message.id, message.revision, message.deleted, message.status, message.error, same, quiet, chosen.get(message.id), message.parts?.some((part) => part.media?.url), message.from?.name].join();
      rows.push({ key: message.id, sign, make: () => this.row(message, at, same, quiet, chosen.get(message.id), open) });
      before = message.ended ? null : message;
    }
    let cursor = this.list.firstChild;
    const keep = new Map();
    // The history is not read out to somebody who has just opened the window.
    this.log.setAttribute("aria-busy", String(rows.length > this.nodes.size + 8));
    for (const row of rows) {
      let had = this.nodes.get(row.key);
      if (!had || had.sign !== row.sign) {
        const node = row.make();
        if (had) { if (cursor === had.node) cursor = node; had.node.replaceWith(node); }
        had = { node, sign: row.sign };
      }
      keep.set(row.key, had);
      if (had.node === cursor) cursor = cursor.nextSibling; else this.list.insertBefore(had.node, cursor);
    }
    for (const [key, { node }] of this.nodes) if (!keep.has(key)) node.remove();
    this.nodes = keep;
  }
  day(at) {
    if (at.toDateString() === new Date().toDateString()) return this.t("today");
    return new Intl.DateTimeFormat(this.lang, { weekday: "short", day: "numeric", month: "long" }).format(at);
  }
  row(message, at, same, quiet, chosen, open) {
    if (message.ended) return el("li", { class: "line" }, this.t(message.ended === "visitor" ? "ended_visitor" : "ended_agent"));
    const role = message.from?.role || "agent", mine = role === "visitor", t = this.tx;
    if (role === "system") return el("li", { class: "line" }, message.text || "");
    const name = message.from.name || t(mine ? "you" : role === "bot" ? "bot" : "agent");
    const time = at ? el("time", { datetime: message.at }, new Intl.DateTimeFormat(this.lang, { hour: "2-digit", minute: "2-digit" }).format(at)) : null;
    const bubble = el("div", { class: "bubble" }, ...(message.deleted ? [t("deleted")] : shown(message, { t, lang: this.lang, chosen, answer: mine ? undefined : (item) => this.answer(message, item) })));
    let meta;
    if (message.status === "failed") {
      meta = el("div", { class: "meta error", role: "alert" }, icon("failed"), t("failed", { reason: message.error }), el("button", { type: "button", onclick: () => this.client.again(message.id) }, t("again")), el("button", { type: "button", onclick: () => this.client.discard(message.id) }, t("remove")));
    } else {
      const edited = message.revision > 0 && !message.deleted ? t("edited") + " ·" : null;
      meta = el("div", { class: "meta" }, edited, time, ...(mine && !message.deleted ? [icon(message.status || "sent"), el("span", { class: "hidden" }, t(message.status || "sent"))] : []));
    }
    const by = same ? el("span", { class: "hidden" }, (mine ? t("you") : name) + ": ") : el("div", { class: mine ? "hidden" : "by" }, mine ? t("you") + ": " : name);
    return el("li", { class: ["m", mine ? "mine" : role, same ? "same" : "", quiet ? "quiet" : "", message.status || "", message.deleted ? "gone" : "", this.editing === message.id ? "edits" : ""].join(" "), "data-id": message.id }, by, bubble, open ? this.acts(message) : null, meta);
  }
  get near() { return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 90; }
  bottom() { this.stick = true; this.log.scrollTop = this.log.scrollHeight; this.top = this.log.scrollTop; this.jump.hidden = true; }
  scrolled() {
    // What comes late makes the list longer before this is told: only who scrolled upwards has left the end.
    if (this.near) this.stick = true; else if (this.log.scrollTop < this.top - 90) this.stick = false;
    if (!this.near) return;
    this.jump.hidden = true;
    if (this.isOpen && !document.hidden) this.client.read();
  }
  async earlier() {
    const { scrollHeight, scrollTop } = this.log;
    try { await this.client.history(); } catch { return; }
    this.draw();
    this.log.scrollTop = scrollTop + this.log.scrollHeight - scrollHeight;
  }
  arrived() { if (this.isOpen && !this.stick) this.jump.hidden = false; }
}
