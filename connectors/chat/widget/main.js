// The script tag: its `data-` attributes are the options, its address says where the chat is.
const RTL = ["ar", "he", "fa", "ur"];
const script = document.currentScript;
if (script && !window.Omnigate) {
  const data = script.dataset, base = new URL(".", script.src).href, listeners = new Set();
  const pick = (wanted) => [wanted, wanted?.split("-")[0], "en"].find((lang) => STRINGS[lang]);
  const start = () => {
    const locale = data.lang || document.documentElement.lang || navigator.language || "en";
    const client = new Client({ base, locale: navigator.language || locale, jwt: data.jwt, on: {
      change: () => view?.render(),
      message: (message) => { view.arrived(message); for (const one of listeners) one(message); },
    } });
    const view = new View(client, { ...data, lang: pick(locale) });
    Object.assign(window.Omnigate, {
      open: () => view.open(), close: () => view.close(), toggle: () => view.toggle(),
      identify: (jwt) => client.identify(jwt),
      logout: () => client.end(true).catch(() => { client.forget(); client.restart(); }),
      onMessage: (listener) => { listeners.add(listener); return () => listeners.delete(listener); },
    });
    // Who has never written costs nothing: a session begins when the window is opened for the first time.
    if (client.known || data.jwt) client.start();
    const phone = matchMedia("(max-width: 480px)").matches;
    if (data.open !== undefined || (client.store.get("open") && !phone)) view.open();
    document.dispatchEvent(new CustomEvent("omnigate:ready", { detail: window.Omnigate }));
  };
  window.Omnigate = {};
  const begin = async () => {
    // A language of the site's own: a JSON file with the keys of `strings.json` of this program.
    if (data.strings) {
      try { STRINGS[data.lang || "en"] = { ...STRINGS.en, ...await (await fetch(data.strings)).json() }; } catch (error) { console.warn("omnigate: data-strings:", error); }
    }
    start();
  };
  if (document.body) begin(); else addEventListener("DOMContentLoaded", begin);
}
