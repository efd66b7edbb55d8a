// From a form's controls to the answer object, and back. The shapes are Ground Truth's (docs/crowd-elements.md).
(function (crowd) {
  "use strict";
  const NATIVE = new Set(["input", "select", "textarea"]);
  const SILENT = new Set(["submit", "button", "reset", "image"]);

  // Every control in the form, in the order of the document; before them the widget in whose shadow root the form is.
  crowd.controls = function controls(root) {
    const inside = [...root.querySelectorAll("*")].filter(
      (element) =>
        element instanceof crowd.CrowdControl || (NATIVE.has(element.localName) && !element.closest("[data-internal]")),
    );
    return root.owner ? [root.owner, ...inside] : inside;
  };

  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

  // {a: true} and {b: false} under one name become {a: true, b: false}; two texts under one name a list of both.
  function put(answer, name, value) {
    const before = Object.hasOwn(answer, name) ? answer[name] : undefined;
    let merged = value;
    if (isObject(before) && isObject(value)) merged = { ...before, ...value };
    else if (isObject(before)) merged = before;
    else if (before !== undefined && !isObject(value)) merged = [before, value].flat();
    // defineProperty, because a control may be called __proto__
    Object.defineProperty(answer, name, { value: merged, enumerable: true, writable: true, configurable: true });
  }

  function nativeValue(control) {
    if (control.type === "radio" || control.type === "checkbox") return { [control.value]: control.checked };
    if (control.type === "select-multiple") return [...control.selectedOptions].map((option) => option.value);
    if (control.type === "file") return [...control.files].map((file) => file.name).join(", ");
    return control.value.replace(/\r\n?/g, "\n");
  }

  crowd.collect = function collect(root) {
    const answer = {};
    for (const control of crowd.controls(root)) {
      const name = control.getAttribute("name");
      const loose = control.loose && !control.isDisabled; // its parts stand in the answer by themselves
      if (loose) for (const [part, value] of Object.entries(control.answer ?? {})) put(answer, part, value);
      if (!name) continue;
      if (control instanceof crowd.CrowdControl) {
        if (!control.isDisabled && control.answer !== undefined) put(answer, name, control.answer);
      } else if (!SILENT.has(control.type) && !control.matches(":disabled")) {
        put(answer, name, nativeValue(control));
      }
    }
    return answer;
  };

  function restoreNative(control, value) {
    if (control.type === "radio" || control.type === "checkbox") control.checked = value?.[control.value] === true;
    else if (control.type === "select-multiple") {
      for (const option of control.options) option.selected = [value].flat().includes(option.value);
    } else if (control.type !== "file" && typeof value === "string") control.value = value;
  }

  // Show an earlier answer again: for a worker who takes a page back.
  crowd.restore = function restore(root, answer) {
    const lists = new Map(); // a list of texts goes to the controls of its name one by one
    for (const control of crowd.controls(root)) {
      const name = control.getAttribute("name");
      if (!name && control.loose) control.restore(answer);
      if (!name || !Object.hasOwn(answer, name)) continue;
      let value = answer[name];
      if (Array.isArray(value) && control.type !== "select-multiple") {
        if (!lists.has(name)) lists.set(name, [...value]);
        value = lists.get(name).shift();
      }
      if (control instanceof crowd.CrowdControl) control.restore(value);
      else restoreNative(control, value);
    }
  };

  // answer-format="flatten-objects": {"a": {"b": 1}} as {"a.b": 1}
  crowd.flatten = function flatten(answer, prefix = "", out = {}) {
    for (const [key, value] of Object.entries(answer)) {
      if (isObject(value) && Object.keys(value).length) flatten(value, `${prefix}${key}.`, out);
      else put(out, `${prefix}${key}`, value);
    }
    return out;
  };
})(window.crowdElements);
