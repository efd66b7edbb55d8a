// <crowd-polyline>: open lines of two or more points with labels on an image.
(function (crowd) {
  "use strict";

  class CrowdPolyline extends crowd.ShapeTool {
    static key = "polylines";
    static noun = "polyline";
    static minimum = 2;
  }

  crowd.define("crowd-polyline", CrowdPolyline);
})(window.crowdElements);
