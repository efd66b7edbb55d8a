// Attributes such as labels="['Cat', 'Dog']" or exclusion-category="{ text: 'None' }" are JSON only in spirit:
// single quotes, bare keys, trailing commas and comments all occur in AWS's own samples. This reads them, without eval.
(function (crowd) {
  "use strict";
  const ESCAPES = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", 0: "\0" };
  const BARE = /[\p{L}\p{N}_$.+-]/u;
  const WORDS = new Map([
    ["true", true],
    ["false", false],
    ["null", null],
    ["undefined", null],
  ]);

  class Reader {
    constructor(text) {
      this.text = text;
      this.at = 0;
    }

    fail(what) {
      throw new SyntaxError(`${what} at character ${this.at + 1} of ${JSON.stringify(this.text.slice(0, 200))}`);
    }

    // The next character that counts: white space and comments are skipped.
    peek() {
      for (;;) {
        while (this.at < this.text.length && /[\s\uFEFF]/.test(this.text[this.at])) this.at++;
        if (this.text.startsWith("//", this.at)) {
          const end = this.text.indexOf("\n", this.at);
          this.at = end < 0 ? this.text.length : end;
        } else if (this.text.startsWith("/*", this.at)) {
          const end = this.text.indexOf("*/", this.at + 2);
          this.at = end < 0 ? this.text.length : end + 2;
        } else {
          return this.text[this.at];
        }
      }
    }

    value(depth = 0) {
      if (depth > 100) this.fail("too many nested brackets");
      const next = this.peek();
      if (next === "[") return this.list(depth);
      if (next === "{") return this.object(depth);
      if (next === '"' || next === "'") return this.string();
      const word = this.word();
      if (WORDS.has(word)) return WORDS.get(word);
      const number = Number(word);
      if (Number.isNaN(number)) this.fail(`unknown word ${JSON.stringify(word)}`);
      return number;
    }

    list(depth) {
      const items = [];
      this.at++;
      for (;;) {
        const next = this.peek();
        if (next === undefined) this.fail("a list without its ]");
        if (next === ",")
          this.at++; // also the stray commas of templates that print a list in a loop
        else if (next === "]") return (this.at++, items);
        else items.push(this.value(depth + 1));
      }
    }

    object(depth) {
      const entries = [];
      this.at++;
      for (;;) {
        const next = this.peek();
        if (next === undefined) this.fail("an object without its }");
        if (next === ",") this.at++;
        else if (next === "}")
          return (this.at++, Object.fromEntries(entries)); // never sets __proto__
        else {
          const key = next === '"' || next === "'" ? this.string() : this.word();
          if (this.peek() !== ":") this.fail(`no : after ${JSON.stringify(key)}`);
          this.at++;
          entries.push([key, this.value(depth + 1)]);
        }
      }
    }

    word() {
      const start = this.at;
      while (this.at < this.text.length && BARE.test(this.text[this.at])) this.at++;
      if (start === this.at) this.fail(this.at < this.text.length ? "an unexpected character" : "an unexpected end");
      return this.text.slice(start, this.at);
    }

    string() {
      const quote = this.text[this.at++];
      let out = "";
      for (;;) {
        const c = this.text[this.at++];
        if (c === undefined) this.fail("a string without its end");
        if (c === quote) return out;
        if (c !== "\\") out += c;
        else {
          const e = this.text[this.at++];
          const digits = e === "u" ? 4 : e === "x" ? 2 : 0;
          if (digits) {
            const code = this.text.slice(this.at, this.at + digits);
            if (!/^[0-9a-f]+$/i.test(code) || code.length < digits) this.fail("a broken escape");
            out += String.fromCharCode(parseInt(code, 16));
            this.at += digits;
          } else if (e !== "\n") out += ESCAPES[e] ?? e ?? "";
        }
      }
    }
  }

  crowd.parse = function parse(text) {
    try {
      return JSON.parse(text);
    } catch {
      const reader = new Reader(text);
      const value = reader.value();
      if (reader.peek() !== undefined) reader.fail("more text after the end");
      return value;
    }
  };
})(window.crowdElements);
