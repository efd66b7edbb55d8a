// <crowd-line>: straight lines with labels on an image.
(function (crowd) {
  "use strict";

  class CrowdLine extends crowd.ShapeTool {
    static key = "lines";
    static noun = "line";
    static minimum = 2;
    static maximum = 2;
  }

  crowd.define("crowd-line", CrowdLine);
})(window.crowdElements);
