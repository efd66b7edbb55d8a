// Building DOM without markup: attribute values and manifest data become text, never HTML.
(function (crowd) {
  "use strict";

  // h("button", {class: "x", onclick: f, disabled: true}, "text", child)
  crowd.h = function h(tag, properties = {}, ...children) {
    const svg = tag.startsWith("svg:");
    const element = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
      : document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  // A link that data may choose: never javascript: and its like.
  crowd.safeUrl = function safeUrl(text) {
    try {
      const url = new URL(text, document.baseURI);
      return ["http:", "https:", "mailto:", "blob:"].includes(url.protocol) ? url.href : null;
    } catch {
      return null;
    }
  };

  // "1 box", "2 boxes"
  crowd.some = function some(count, noun) {
    if (count === 1) return `1 ${noun}`;
    return `${count} ${noun.endsWith("x") ? `${noun}es` : `${noun}s`}`;
  };

  let count = 0;
  crowd.uid = (prefix) => `${prefix}-${++count}`;
})(window.crowdElements);
