// The namespace that the files share, and the registry of elements. First of all files.
(function () {
  "use strict";
  const registry = new Map(); // tag -> class, in the order of the files

  window.crowdElements = {
    // What the page's author or the server says about the host, as data-* attributes of the script tag.
    settings: { ...document.currentScript?.dataset },
    registry,
    // Elements are upgraded all at once when the page is parsed (lib/ready.js), so that each finds its children.
    define(tag, cls) {
      registry.set(tag, cls);
    },
    errors: [], // what went wrong while the elements were set up: shown by tests, logged for the template's author
  };
})();
