#include "examples/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace reel::examples {
namespace {

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\n':
        result += "&#9166;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7F) {
          result += c;
        } else {
          char hex[8];
          std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
          result += hex;
        }
    }
  }
  return result;
}

std::string number(double x, const char* format = "%.4g") {
  char text[40];
  std::snprintf(text, sizeof text, format, x);
  return text;
}

std::string table(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string html = "<table>";
  for (const auto& [name, value] : rows)
    html += "<tr><th scope=\"row\">" + escaped(name) + "</th><td>" + escaped(value) + "</td></tr>";
  return html + "</table>\n";
}

// Many points say no more than a few hundred on a page of this width: neighbours are averaged.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points) {
  constexpr std::size_t most = 300;
  if (points.size() <= most) return points;
  std::vector<std::pair<double, double>> result;
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t first = i * points.size() / most;
    const std::size_t last = (i + 1) * points.size() / most;
    double x = 0;
    double y = 0;
    for (std::size_t j = first; j < last; ++j) {
      x += points[j].first;
      y += points[j].second;
    }
    const auto count = static_cast<double>(last - first);
    result.emplace_back(x / count, y / count);
  }
  return result;
}

// Round numbers in [low, high], low > 0, for a logarithmic axis: the coarsest kind of which there are three.
// None if the two are too close for that.
std::vector<double> round_numbers(double low, double high) {
  const std::vector<std::vector<double>> kinds = {{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9}};
  constexpr std::size_t enough = 3;
  constexpr int most = 8;
  constexpr double rounding = 1e-9;  // 7 times 0.1 is above 0.7
  std::vector<double> result;
  for (const std::vector<double>& kind : kinds) {
    result.clear();
    const int first = static_cast<int>(std::floor(std::log10(low)));
    const int last = static_cast<int>(std::floor(std::log10(high)));
    const int every = (last - first) / most + 1;  // decades
    for (int power = first; power <= last; power += every) {
      for (const double digit : kind) {
        const double x = digit * std::pow(10, power);
        if (x >= low * (1 - rounding) && x <= high * (1 + rounding)) result.push_back(x);
      }
    }
    if (result.size() >= enough) return result;
  }
  return {};
}

// A chart with a logarithmic loss axis.
std::string chart(const std::vector<Report::Curve>& curves) {
  double last = 1;
  double low = 1e300;
  double high = -1e300;
  for (const Report::Curve& curve : curves) {
    for (const auto& [x, y] : curve.points) {
      if (!std::isfinite(y) || y <= 0) continue;
      last = std::max(last, x);
      low = std::min(low, y);
      high = std::max(high, y);
    }
  }
  if (low > high) return "";
  if (high < low * 1.05) high = low * 1.05;
  constexpr double left = 72, right = 700, top = 28, bottom = 300;
  const auto at_x = [&](double x) { return left + (right - left) * x / last; };
  const auto at_y = [&](double y) {
    return bottom - (bottom - top) * std::log(y / low) / std::log(high / low);
  };
  std::vector<double> ticks = round_numbers(low, high);
  if (ticks.empty()) ticks = {low, std::sqrt(low * high), high};
  std::string svg = "<svg viewBox=\"0 0 760 340\" role=\"img\" aria-label=\"Loss against steps\">\n";
  for (const double y : ticks) {
    svg += "<line class=\"grid\" x1=\"" + number(left) + "\" x2=\"" + number(right) + "\" y1=\"" +
           number(at_y(y)) + "\" y2=\"" + number(at_y(y)) + "\"/><text class=\"y\" x=\"" + number(left - 8) +
           "\" y=\"" + number(at_y(y) + 4) + "\">" + number(y, "%.3g") + "</text>\n";
  }
  for (int i = 0; i <= 4; ++i) {
    const double x = last * i / 4;
    svg += "<text class=\"x\" x=\"" + number(at_x(x)) + "\" y=\"" + number(bottom + 20) + "\">" +
           number(x, "%.0f") + "</text>\n";
  }
  for (std::size_t i = 0; i < curves.size(); ++i) {
    svg += "<polyline class=\"c" + std::to_string(i) + "\" points=\"";
    for (const auto& [x, y] : thinned(curves[i].points)) {
      if (std::isfinite(y) && y > 0) svg += number(at_x(x), "%.1f") + "," + number(at_y(y), "%.1f") + " ";
    }
    svg += "\"/><text class=\"key c" + std::to_string(i) + "\" x=\"" + number(right - 170) + "\" y=\"" +
           number(top + 14 + 18 * static_cast<double>(i)) + "\">" + escaped(curves[i].name) + "</text>\n";
  }
  return svg + "<text x=\"" + number(left) + "\" y=\"14\">loss (logarithmic)</text><text class=\"x\" x=\"" +
         number((left + right) / 2) + "\" y=\"336\">step</text></svg>\n";
}

std::string confusion_table(const Report& report) {
  std::string html = "<div class=\"wide\"><table class=\"grid\"><tr><th scope=\"col\">true \\ predicted</th>";
  for (const std::string& name : report.classes) html += "<th scope=\"col\">" + escaped(name) + "</th>";
  html += "</tr>";
  for (std::size_t i = 0; i < report.confusion.size(); ++i) {
    std::int64_t row = 0;
    for (const std::int64_t n : report.confusion[i]) row += n;
    html += "<tr><th scope=\"row\">" + escaped(report.classes[i]) + "</th>";
    for (std::size_t j = 0; j < report.confusion[i].size(); ++j) {
      const double share =
          row > 0 ? static_cast<double>(report.confusion[i][j]) / static_cast<double>(row) : 0;
      html += "<td class=\"" + std::string(i == j ? "right" : "wrong") +
              "\" style=\"--share:" + number(share, "%.3f") + "\">" + std::to_string(report.confusion[i][j]) +
              "</td>";
    }
    html += "</tr>";
  }
  return html + "</table></div>\n";
}

constexpr const char* style = R"(
:root { color-scheme: light dark; --ink: #1d2433; --paper: #fff; --line: #d5dae3; --a: #2457c5; --b: #b3541e; --good: 36 87 197; --bad: 200 70 20 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8f0; --paper: #14181f; --line: #353d4a; --a: #86aefc; --b: #f0a06c; --good: 110 160 255; --bad: 255 140 90 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 780px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
th { font-weight: 600 } .wide { overflow-x: auto }
table.grid td, table.grid th { text-align: right; padding: .2rem .5rem; white-space: nowrap }
td.right { background: rgb(var(--good) / calc(var(--share) * .45)) } td.wrong { background: rgb(var(--bad) / calc(var(--share) * 4)) }
svg { width: 100%; height: auto } polyline { fill: none; stroke-width: 2; stroke: var(--a) } polyline.c1 { stroke: var(--b) }
svg text { font-size: 12px; fill: var(--ink) } text.x { text-anchor: middle } text.y { text-anchor: end } text.key.c0 { fill: var(--a) } text.key.c1 { fill: var(--b) } line.grid { stroke: var(--line) }
code { font-family: ui-monospace, monospace }
)";

}  // namespace

std::string html_of(const Report& report) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>" +
      escaped(report.title) + "</title><style>" + style + "</style></head><body>\n<h1>" +
      escaped(report.title) + "</h1>\n<h2>Result</h2>\n" + table(report.results);
  const std::string curves = chart(report.curves);
  if (!curves.empty()) html += "<h2>Loss</h2>\n" + curves;
  if (!report.samples.empty()) html += "<h2>Answers</h2>\n" + table(report.samples);
  if (!report.confusion.empty()) html += "<h2>Confusion matrix</h2>\n" + confusion_table(report);
  return html + "<h2>Settings</h2>\n" + table(report.settings) + "</body></html>\n";
}

}  // namespace reel::examples
