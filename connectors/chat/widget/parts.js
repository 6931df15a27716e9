// What a message is made of, as elements. Nothing that came from outside becomes markup: elements are made one by one.
const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  chat: "M21 11.5a8.4 8.4 0 0 1-12.3 7.4L3 21l2.1-5.7A8.4 8.4 0 1 1 21 11.5z",
  close: "M6 6l12 12M18 6L6 18", down: "M5 9l7 7 7-7", send: "M4 12l16-8-5 16-3.5-6.5zM11.5 13.5L20 4",
  clip: "M20 11.5l-8 8a5 5 0 0 1-7-7l8.5-8.5a3.3 3.3 0 0 1 4.7 4.7l-8.5 8.4a1.7 1.7 0 0 1-2.4-2.3l7.9-7.9",
  more: "M5 12h.01M12 12h.01M19 12h.01", file: "M14 3H6v18h12V7zM14 3v4h4", pin: "M12 21s7-6 7-11a7 7 0 1 0-14 0c0 5 7 11 7 11zM12 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  check: "M5 12.5l4.5 4.5L19 7.5", waiting: "M12 8v4l2.5 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", sent: "M5 12.5l4.5 4.5L19 7.5", delivered: "M2 12.5L6.5 17 15 7.5M11 16l1 1 9.5-9.5",
  failed: "M12 8v5M12 16.5h.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
};
ICONS.read = ICONS.delivered;
function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" })) svg.setAttribute(key, value);
  svg.classList.add("icon", "i-" + name);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const safe = (url, schemes = ["https:", "http:"]) => {
  try { return schemes.includes(new URL(url, location.href).protocol) ? url : null; } catch { return null; }
};
function link(url, ...children) {
  const good = safe(url, ["https:", "http:", "mailto:", "tel:"]);
  return good ? el("a", { href: good, target: "_blank", rel: "noopener noreferrer" }, ...children) : el("span", {}, ...children);
}
function linked(text) {
  const out = [];
  let end = 0;
  for (const found of text.matchAll(/https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]'’]/g)) {
    out.push(text.slice(end, found.index), link(found[0], found[0]));
    end = found.index + found[0].length;
  }
  return out.concat(text.slice(end));
}
// The part of CommonMark that chat messages have.
const INLINE = [
  [/`([^`]+)`/, (m) => el("code", {}, m[1])],
  [/\[([^\]]+)\]\(([^\s)]+)[^)]*\)/, (m) => link(m[2], ...inline(m[1]))],
  [/\*\*([^*]+(?:\*[^*]+)*)\*\*|__([^_]+)__/, (m) => el("strong", {}, ...inline(m[1] || m[2]))],
  [/\*([^*\s][^*]*)\*|\b_([^_]+)_\b/, (m) => el("em", {}, ...inline(m[1] || m[2]))],
];
function inline(text) {
  let best = null;
  for (const [pattern, make] of INLINE) {
    const found = pattern.exec(text);
    if (found && (!best || found.index < best.found.index)) best = { found, make };
  }
  if (!best) return linked(text.replace(/\\([\\`*_[\]()#+.!-])/g, "$1"));
  const { found, make } = best;
  return [...linked(text.slice(0, found.index)), make(found), ...inline(text.slice(found.index + found[0].length))];
}
function markdown(text) {
  return text.split(/\n{2,}/).map((block) => {
    const fence = /^```[^\n]*\n([\s\S]*?)\n?```$/.exec(block);
    if (fence) return el("pre", {}, el("code", {}, fence[1]));
    const lines = block.split("\n");
    if (lines.every((line) => /^\s*[-*+]\s/.test(line))) return el("ul", {}, ...lines.map((line) => el("li", {}, ...inline(line.replace(/^\s*[-*+]\s/, "")))));
    if (lines.every((line) => /^\s*\d+[.)]\s/.test(line))) return el("ol", {}, ...lines.map((line) => el("li", {}, ...inline(line.replace(/^\s*\d+[.)]\s/, "")))));
    if (lines.every((line) => line.startsWith(">"))) return el("blockquote", {}, ...inline(block.replace(/^> ?/gm, "")));
    const head = /^#{1,6}\s+(.*)$/.exec(block);
    return el("p", {}, ...(head ? [el("strong", {}, ...inline(head[1]))] : inline(block)));
  });
}
// The server has cleaned it; it is copied by the same list once more, so that nothing hangs on one place.
const TAGS = new Set("a b i em strong u s p br ul ol li code pre blockquote".split(" "));
function html(text) {
  let body;
  try { body = new DOMParser().parseFromString(text, "text/html").body; } catch { return [text.replace(/<[^>]*>/g, "")]; }
  const copy = (node) => [...node.childNodes].flatMap((child) => {
    if (child.nodeType === 3) return [child.data];
    const tag = child.nodeType === 1 ? child.localName : "";
    if (tag === "script" || tag === "style" || !tag) return [];
    if (tag === "a") return [link(child.getAttribute("href") || "", ...copy(child))];
    return TAGS.has(tag) ? [el(tag, {}, ...copy(child))] : copy(child);
  });
  return copy(body);
}
const size = (bytes, lang) => {
  const unit = bytes >= 1e6 ? "megabyte" : bytes >= 1e3 ? "kilobyte" : "byte";
  const number = bytes / { megabyte: 1e6, kilobyte: 1e3, byte: 1 }[unit];
  return new Intl.NumberFormat(lang, { style: "unit", unit, maximumFractionDigits: number < 10 ? 1 : 0 }).format(number);
};
function media(part, t, lang) {
  const item = part.media || part, url = item.url && safe(item.url), name = item.name || t(part.type === "image" ? "image" : "attach");
  const caption = item.caption || part.caption;
  const out = [];
  if (url && (part.type === "image" || part.type === "sticker")) {
    out.push(el("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "picture" },
      el("img", { src: url, alt: caption || name, loading: "lazy", width: item.width, height: item.height })));
  } else if (url && (part.type === "audio" || part.type === "video")) {
    out.push(el(part.type, { src: url, controls: true, preload: "metadata", "aria-label": name }));
  } else {
    const inside = [icon("file"), el("span", { class: "name" }, name), item.size ? el("span", { class: "size" }, size(item.size, lang)) : null];
    out.push(url ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "file", "aria-label": t("download", { name }) }, ...inside) : el("span", { class: "file" }, ...inside));
  }
  if (caption) out.push(el("div", { class: "text" }, ...linked(caption)));
  return out;
}
function choices(items, answer, chosen) {
  return el("div", { class: "choices", role: "group" }, ...(items || []).map((item) => {
    const inside = [el("span", {}, item.title || item.id), item.description ? el("small", {}, item.description) : null];
    if (item.url) return el("a", { href: safe(item.url), target: "_blank", rel: "noopener noreferrer", class: "choice" }, ...inside);
    return el("button", { type: "button", class: "choice", disabled: !answer || chosen !== undefined, "aria-pressed": chosen === item.id ? "true" : undefined, onclick: () => answer(item) }, ...inside);
  }));
}
// `answer(item)` sends a choice; absent where there is none to be made. `chosen` is the id of the item that was.
function shown(message, { t, lang, answer, chosen }) {
  const text = (body) => el("div", { class: "text" }, ...linked(body || ""));
  const parts = message.parts?.length ? message.parts : [{ type: "text", body: message.text }];
  return parts.flatMap((part) => {
    switch (part.type) {
      case "text":
        if (part.format === "markdown") return [el("div", { class: "rich" }, ...markdown(part.body))];
        if (part.format === "html") return [el("div", { class: "rich" }, ...html(part.body))];
        return part.body ? [text(part.body)] : [];
      case "image": case "audio": case "video": case "file": case "sticker": return media(part, t, lang);
      case "location": {
        const where = `${Number(part.lat)},${Number(part.lon)}`;
        return [el("a", { class: "file", target: "_blank", rel: "noopener noreferrer", href: `https://www.openstreetmap.org/?mlat=${Number(part.lat)}&mlon=${Number(part.lon)}#map=16/${where.replace(",", "/")}` },
          icon("pin"), el("span", { class: "name" }, part.name || part.address || t("map")))];
      }
      case "contact": return [text([part.name, ...(part.phones || []), ...(part.emails || [])].filter(Boolean).map((one) => one.number || one.email || one).join("\n"))];
      case "choice": return [part.body ? text(part.body) : null, choices(part.items, answer, chosen)].filter(Boolean);
      case "card": case "carousel":
        return [el("div", { class: "cards", tabindex: part.items?.length > 1 ? "0" : undefined }, ...(part.items || []).map((card) => el("div", { class: "card" },
          ...(card.media ? media({ type: "image", media: card.media }, t, lang) : []),
          card.title ? el("strong", {}, card.title) : null, card.body ? text(card.body) : null,
          card.items?.length ? choices(card.items, answer, chosen) : null)))];
      case "choice_reply": return [text(part.title || part.item_id)];
      default: return message.text ? [text(message.text)] : [];
    }
  });
}
