// The icons that templates name most (the names are iron-icons', the drawings our own), and <crowd-icon>, which shows
// one: by name, or by the address of an image. A name that isn't here shows its first letter.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  // Strokes in a square of 24 units.
  const PATHS = {
    add: "M12 5v14M5 12h14",
    "arrow-back": "M20 12H5m6-7-7 7 7 7",
    "arrow-forward": "M4 12h15m-6-7 7 7-7 7",
    "arrow-downward": "M12 4v15m-7-6 7 7 7-7",
    "arrow-upward": "M12 20V5m-7 6 7-7 7 7",
    block: "M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0M6.5 6.5l11 11",
    brush: "M20 4 10 14m-3 0c-2 0-3 2-3 6 4 0 6-1 6-3a3 3 0 0 0-3-3z",
    check: "M4 13l5 5L20 6",
    "check-circle": "M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0m4 0 3 3 5-6",
    close: "M5 5l14 14M19 5L5 19",
    cursor: "M6 3l12 10-6 .5 3 6-2.5 1.3-3-6L6 18z",
    create: "M4 20l1-5L16 4l4 4L9 19z",
    delete: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13M10 11v6m4-6v6",
    error: "M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0m8-5v6m0 3v1",
    "error-outline": "M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0m8-5v6m0 3v1",
    "expand-more": "M5 9l7 7 7-7",
    "expand-less": "M5 15l7-7 7 7",
    eraser: "M8 20 3.5 15.5 13 6l6 6-8 8zM8 11l6 6M11 20h9",
    favorite: "M12 20 4.5 12a4.5 4.5 0 0 1 7.5-5 4.5 4.5 0 0 1 7.5 5z",
    flag: "M6 21V4h11l-2 4 2 4H6",
    fullscreen: "M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5",
    help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2m0 3v1M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0",
    home: "M4 12l8-8 8 8M6 10v10h12V10",
    info: "M4 12a8 8 0 1 0 16 0 8 8 0 1 0-16 0m8-1v6m0-10v1",
    link: "M10 14a4 4 0 0 1 0-6l3-3a4 4 0 0 1 6 6l-2 2m-3-3a4 4 0 0 1 0 6l-3 3a4 4 0 0 1-6-6l2-2",
    lock: "M6 11h12v9H6zm2 0V8a4 4 0 0 1 8 0v3",
    mail: "M4 6h16v12H4zl8 7 8-7",
    menu: "M4 6h16M4 12h16M4 18h16",
    "open-in-new": "M13 4h7v7m0-7-9 9M9 5H5v14h14v-4",
    pan: "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3m12-6 3 3-3 3",
    polygon: "M6 19 3 9l9-6 9 7-4 9z",
    "question-answer": "M4 5h11v8H9l-4 3v-3H4zM18 9h2v8h-1v3l-4-3h-4",
    redo: "M19 9H9a5 5 0 0 0 0 10h4m6-10-4-4m4 4-4 4",
    refresh: "M19 12a7 7 0 1 1-2-5l2 2m0-5v5h-5",
    remove: "M5 12h14",
    "report-problem": "M12 4 2.5 20h19zm0 6v5m0 2v1",
    save: "M5 4h11l3 3v13H5zm3 0v5h7V4M8 20v-6h8v6",
    search: "M4 10a6 6 0 1 0 12 0 6 6 0 1 0-12 0m10.5 4.5L20 20",
    send: "M4 4l17 8-17 8 3-8zm3 8h14",
    settings:
      "M9 12a3 3 0 1 0 6 0 3 3 0 1 0-6 0m3-9v3m0 12v3m9-9h-3M6 12H3m15.4-6.4-2.1 2.1M7.7 16.3l-2.1 2.1m12.8 0-2.1-2.1M7.7 7.7 5.6 5.6",
    star: "M12 3l2.7 6 6.3.6-4.8 4.3 1.4 6.4L12 17l-5.6 3.3 1.4-6.4L3 9.6 9.3 9z",
    "thumb-down": "M8 5v9l4 6c2 0 2-2 1.5-5H19c1 0 1-1 1-1l-2-9zM4 5h1v9H4z",
    "thumb-up": "M8 19v-9l4-6c2 0 2 2 1.5 5H19c1 0 1 1 1 1l-2 9zM4 10h1v9H4z",
    undo: "M5 9h10a5 5 0 0 1 0 10h-4M5 9l4-4M5 9l4 4",
    visibility: "M2 12c4-7 16-7 20 0-4 7-16 7-20 0m7 0a3 3 0 1 0 6 0 3 3 0 1 0-6 0",
    warning: "M12 4 2.5 20h19zm0 6v5m0 2v1",
    "zoom-in": "M4 10a6 6 0 1 0 12 0 6 6 0 1 0-12 0m3 0h6m-3-3v6m4.5 1.5L20 20",
    "zoom-out": "M4 10a6 6 0 1 0 12 0 6 6 0 1 0-12 0m3 0h6m1.5 4.5L20 20",
  };
  const ALIASES = {
    done: "check",
    clear: "close",
    edit: "create",
    "add-circle": "add",
    cancel: "block",
    grade: "star",
    "help-outline": "help",
    "info-outline": "info",
    "star-border": "star",
    "favorite-border": "favorite",
    launch: "open-in-new",
    chat: "question-answer",
    feedback: "report-problem",
    "chevron-left": "arrow-back",
    "chevron-right": "arrow-forward",
    autorenew: "refresh",
    "delete-forever": "delete",
    email: "mail",
    "lock-outline": "lock",
    "remove-circle": "remove",
  };

  class CrowdIcon extends crowd.CrowdElement {
    static attributes = { icon: "string", src: "string" };
    static styles = `
      :host {
        color: inherit; display: inline-flex; width: 1.5rem; height: 1.5rem; align-items: center;
        justify-content: center; vertical-align: middle;
      }
      svg, img { width: 100%; height: 100%; }
      svg { fill: none; stroke: currentcolor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
    `;

    build() {
      this.setAttribute("aria-hidden", "true");
    }

    changed() {
      const name = this.icon.replace(/^icons:/, "").trim();
      const path = PATHS[ALIASES[name] ?? name];
      const address = this.src || (/[/.]/.test(name) ? name : null);
      let face = h("span", {}, name.slice(0, 1).toUpperCase());
      if (Object.hasOwn(PATHS, ALIASES[name] ?? name)) {
        face = h("svg:svg", { viewBox: "0 0 24 24" }, h("svg:path", { d: path }));
      } else if (address) face = h("img", { src: address, alt: "" });
      this.shadowRoot.replaceChildren(face);
    }
  }

  crowd.define("crowd-icon", CrowdIcon);
  crowd.define("iron-icon", class extends CrowdIcon {});
})(window.crowdElements);
