// Just enough of Ground Truth's form for the browser tests: named inputs, one submit event, the answer as JSON.
class CrowdForm extends HTMLElement {
  submit() {
    if (!this.dispatchEvent(new Event("submit", { cancelable: true, bubbles: true }))) return;
    const answer = {};
    for (const field of this.querySelectorAll("input[name], textarea[name]")) if (field.value) answer[field.name] = field.value;
    window.submitted = answer;
  }
}
class CrowdButton extends HTMLElement {
  connectedCallback() {
    this.attachShadow({ mode: "open", delegatesFocus: true }).innerHTML = "<button type=button style='padding:.5rem 1.25rem;font:inherit'><slot></slot></button>";
    this.addEventListener("click", () => this.getAttribute("form-action") === "submit" && this.closest("crowd-form").submit());
  }
}
customElements.define("crowd-form", CrowdForm);
customElements.define("crowd-button", CrowdButton);
