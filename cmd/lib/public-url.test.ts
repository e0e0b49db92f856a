import { expect, test } from "vitest";
import { isWildcard, urlOf } from "./public-url.ts";

test.each([
  ["127.0.0.1", "http://127.0.0.1:8080"],
  ["ads.example", "http://ads.example:8080"],
  ["::1", "http://[::1]:8080"],
  ["0.0.0.0", "http://localhost:8080"],
  ["::", "http://localhost:8080"],
  ["0:0:0:0:0:0:0:0", "http://localhost:8080"],
  ["0", "http://localhost:8080"],
])("a click URL of --host %s was one that no browser can open, is %s", (host, url) => {
  expect(urlOf(host, 8080)).toBe(url);
  expect(isWildcard(host)).toBe(url.includes("localhost"));
});
