// The base of all elements: attributes as properties, a shadow root, and (for those with a name) a part in the answer.
(function (crowd) {
  "use strict";

  // kind -> how an attribute reads as a property
  const READ = {
    string: (element, name) => element.getAttribute(name) ?? "",
    boolean: (element, name) => element.hasAttribute(name),
    number: (element, name) => {
      const value = parseFloat(element.getAttribute(name));
      return Number.isNaN(value) ? null : value;
    },
    json: (element, name) => {
      const text = element.getAttribute(name);
      if (text === null || text.trim() === "") return null;
      try {
        return crowd.parse(text);
      } catch (error) {
        crowd.report(`<${element.localName}>: its attribute ${name} isn't JSON: ${error.message}`);
        return null;
      }
    },
  };

  crowd.report = function report(message) {
    crowd.errors.push(message);
    console.error(message);
  };

  const camel = (name) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());

  class CrowdElement extends HTMLElement {
    // {"max-length": "number", labels: "json"}: each becomes a property (maxLength, labels)
    static attributes = {};
    static styles = "";

    static get observedAttributes() {
      return Object.keys(this.attributes);
    }

    // Called once for each class, before it is defined.
    static prepare() {
      this.sheets = [crowd.base, crowd.sheet(this.styles)];
      for (const [name, kind] of Object.entries(this.attributes)) {
        const property = camel(name);
        if (property in this.prototype) continue; // the class has its own, or a prepared base class has it
        Object.defineProperty(this.prototype, property, {
          configurable: true,
          get() {
            if (kind !== "json") return READ[kind](this, name);
            if (!this.parsed.has(name)) this.parsed.set(name, READ.json(this, name));
            return this.parsed.get(name);
          },
          set(value) {
            if (kind === "boolean") this.toggleAttribute(name, Boolean(value));
            else if (kind === "json") {
              this.parsed.set(name, typeof value === "string" ? crowd.parse(value) : value);
              if (this.built) this.changed(name);
            } else if (value === null || value === undefined) this.removeAttribute(name);
            else this.setAttribute(name, value);
          },
        });
      }
    }

    constructor() {
      super();
      this.parsed = new Map();
      this.built = false;
      this.attachShadow({ mode: "open", delegatesFocus: this.constructor.delegatesFocus ?? false });
      this.shadowRoot.adoptedStyleSheets = this.constructor.sheets;
    }

    connectedCallback() {
      if (this.built) return;
      // What a script set on the element before it was upgraded hides the accessors above: set it again.
      for (const property of Object.keys(this)) {
        if (property in this.constructor.prototype) {
          const value = this[property];
          delete this[property];
          this[property] = value;
        }
      }
      this.build();
      this.built = true;
      for (const name of Object.keys(this.constructor.attributes)) this.changed(name);
    }

    attributeChangedCallback(name, before, after) {
      if (before === after) return;
      this.parsed.delete(name);
      if (this.built) this.changed(name);
    }

    // Further style sheets, which several elements share.
    wear(...sheets) {
      this.shadowRoot.adoptedStyleSheets = [...this.shadowRoot.adoptedStyleSheets, ...sheets];
    }

    // Subclasses: build the shadow root, once; and bring it up to date after an attribute changed.
    build() {}
    changed(_name) {}

    // What AWS's elements fire, and what templates listen to.
    announce(type = "change") {
      this.dispatchEvent(new Event(type, { bubbles: true, composed: true }));
    }
  }

  // An element that gives a part of the answer. Its `answer` is what stands under its name; undefined: nothing.
  class CrowdControl extends CrowdElement {
    static formAssociated = true;
    static delegatesFocus = true;

    constructor() {
      super();
      this.internals = this.attachInternals();
    }

    formDisabledCallback() {
      if (this.built) this.changed("disabled");
    }

    formResetCallback() {
      this.reset();
    }

    // Disabled by its own attribute or by a <fieldset disabled> around it.
    get isDisabled() {
      return this.matches(":disabled");
    }

    get answer() {
      return undefined;
    }

    // The name that AWS's samples reach for when they read an annotation before it is submitted.
    get _submittableValue() {
      return this.answer;
    }

    // Show again an answer that was given earlier: what `answer` returned then.
    restore(_answer) {}

    reset() {}

    // The complaint about what was entered, "" when it will do.
    get problem() {
      return "";
    }

    checkValidity() {
      return this.isDisabled || this.problem === "";
    }

    reportValidity() {
      const problem = this.isDisabled ? "" : this.problem;
      this.complain(problem);
      if (problem) this.focus();
      return problem === "";
    }

    get validationMessage() {
      return this.isDisabled ? "" : this.problem;
    }

    // Subclasses show the text (or take it away when it is "").
    complain(_text) {}

    get form() {
      return this.internals.form;
    }
  }

  crowd.CrowdElement = CrowdElement;
  crowd.CrowdControl = CrowdControl;
})(window.crowdElements);
