// Runs in the browser: reads the counts each second, and sends the clicks that must not count.
"use strict";

const POLL_MS = 1_000;
const SAID_MS = 8_000;
const AT_ONCE = 4;
const cards = [...document.querySelectorAll(".ad")];
const said = document.querySelector(".said");

let silence;
/** Leaves by itself, once it can have been read. */
const say = (text) => {
  clearTimeout(silence);
  said.textContent = text;
  if (text !== "") silence = setTimeout(() => say(""), SAID_MS);
};

/** The same token with one character changed, where the part that `at` names is encoded. */
const damaged = (token, at) => token.slice(0, at) + (token[at] === "A" ? "B" : "A") + token.slice(at + 1);
const IN_MAC = 45;
const IN_AD_ID = 14;

async function click(token, init = {}) {
  const response = await fetch(`/click?i=${token}`, { redirect: "manual", cache: "no-store", ...init });
  return response.type === "opaqueredirect" ? "302, redirected" : `${response.status}`;
}

async function freshToken(card) {
  const response = await fetch(`/demo/ads/${card.dataset.ad}/token`, { method: "POST" });
  if (!response.ok) throw new Error(`no new impression: ${response.status}`);
  const { token, impression_id } = await response.json();
  card.querySelector(".explain").href = `/?click=${impression_id}`;
  return token;
}

const tries = {
  async again(card) {
    const answers = [await click(card.dataset.token), await click(card.dataset.token)];
    return `Answered ${answers.join(" and ")}. At most the first was counted; the other is a duplicate.`;
  },
  async burst(card) {
    const token = await freshToken(card);
    await Promise.all(Array.from({ length: 20 }, () => click(token)));
    return "20 copies of one new click, at once: 1 is counted, 19 are duplicates.";
  },
  async forged(card) {
    return `Answered ${await click(damaged(card.dataset.token, IN_MAC))}: the signature does not fit. Not counted.`;
  },
  async moved(card) {
    const answer = await click(damaged(card.dataset.token, IN_AD_ID));
    return `Answered ${answer}: the ad's id is under the signature. Not counted, for no ad.`;
  },
  async expired(card) {
    return `Answered ${await click(card.dataset.expired)}: the user still arrives, the click is not counted.`;
  },
  async head(card) {
    const answer = await click(await freshToken(card), { method: "HEAD" });
    return `Answered ${answer}: a robot that looks at the link. Never counted.`;
  },
  async fresh(card) {
    card.dataset.token = await freshToken(card);
    card.querySelector(".creative").href = `/click?i=${card.dataset.token}`;
    return "The ad carries a new impression: its next click counts.";
  },
};

/** The open list of tries, but for the one that was just used. */
const closeTries = (but) => {
  for (const open of document.querySelectorAll("details[open]")) if (!open.contains(but)) open.open = false;
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeTries(null);
});

document.addEventListener("click", async (event) => {
  closeTries(event.target);
  const button = event.target instanceof Element ? event.target.closest("button[data-try]") : null;
  if (button === null) return;
  const card = button.closest(".ad");
  button.disabled = true;
  try {
    say(await tries[button.dataset.try](card));
  } catch (error) {
    say(`That did not work: ${error.message}`);
  } finally {
    button.disabled = false;
  }
});

async function readCount(card) {
  const count = card.querySelector(".count");
  const output = count.querySelector("output");
  const others = count.querySelector("span");
  const response = await fetch(`/v1/reports/clicks?ad_id=${card.dataset.ad}`);
  if (response.status === 401 || response.status === 403) {
    others.textContent = "reports need an API key here";
    return;
  }
  if (!response.ok) throw new Error(`report: ${response.status}`);
  const { total } = await response.json();
  const clicks = String(total.clicks);
  count.classList.toggle("rose", output.textContent !== "–" && output.textContent !== clicks);
  output.textContent = clicks;
  const duplicates = `${total.duplicates} ${total.duplicates === 1 ? "duplicate" : "duplicates"}`;
  others.textContent = `counted · ${duplicates} · ${total.invalid} invalid`;
}

async function readCounts() {
  const waiting = [...cards];
  const worker = async () => {
    for (let card = waiting.shift(); card !== undefined; card = waiting.shift()) await readCount(card);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const UNREADABLE = "The counts cannot be read";
let polling = false;
/** Goes on for as long as somebody looks; a hidden page asks for nothing. */
async function poll() {
  if (polling) return;
  polling = true;
  while (document.visibilityState === "visible") {
    try {
      await readCounts();
      if (said.textContent.startsWith(UNREADABLE)) say("");
    } catch (error) {
      say(`${UNREADABLE}: ${error.message}. Trying again.`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  polling = false;
}
document.addEventListener("visibilitychange", () => void poll());
void poll();
