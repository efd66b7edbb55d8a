// <crowd-checkbox>: one box; those with the same name are one object in the answer.
(function (crowd) {
  "use strict";

  class CrowdCheckbox extends crowd.Choice {}

  crowd.define("crowd-checkbox", CrowdCheckbox);
})(window.crowdElements);
