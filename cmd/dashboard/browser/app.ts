/** The whole page: who is signed in, what is looked at (the URL says it), and the way to the rest. */
import { Api, ApiError } from "./api.ts";
import { Click } from "./click.ts";
import { ReportPage } from "./report-page.ts";
import { adNames, type AdName } from "./reports.ts";
import { keepKey, keptKey } from "./session.ts";
import { SignIn } from "./sign-in.ts";
import { applyTheme, keptTheme, nextTheme, type Theme } from "./theme.ts";
import { html, useAnswer, useEffect, useMemo, useState, type VNode } from "./ui.ts";
import { whoami } from "./whoami.ts";
import { PRESETS, readView, urlOf, type View } from "./view.ts";

const ownZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone;
/** How soon a key that was revoked is noticed, and a title that was changed. */
const WHO_MS = 30_000;
const NAME_MS = 300_000;
const readUrl = (): View => readView(location.search, ownZone());

interface AppProps {
  readonly demo: string | undefined;
  readonly isOpen: boolean;
}

export function App({ demo, isOpen }: AppProps): VNode {
  const [key, setKey] = useState(keptKey());
  const [notice, setNotice] = useState<string>();
  const sign = (given: string | undefined, why?: string): void => {
    keepKey(given);
    setKey(given);
    setNotice(why);
  };
  const api = useMemo(() => new Api(key ?? ""), [key]);
  if (key === undefined)
    return html`<${SignIn} notice=${notice} demo=${demo} isOpen=${isOpen} onKey=${sign} />`;
  return html`<${Dashboard}
    key=${key}
    api=${api}
    hasKey=${key !== ""}
    demo=${demo}
    onSignOut=${(why?: string) => sign(undefined, why)}
  />`;
}

interface DashboardProps {
  readonly api: Api;
  readonly hasKey: boolean;
  readonly demo: string | undefined;
  readonly onSignOut: (why?: string) => void;
}

function Dashboard({ api, hasKey, demo, onSignOut }: DashboardProps): VNode {
  const [view, setView] = useState(readUrl);
  const [theme, setTheme] = useState<Theme>(keptTheme);
  const [systemIsDark, setSystemIsDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const back = () => setView(readUrl());
    addEventListener("popstate", back);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => setSystemIsDark(dark.matches);
    dark.addEventListener("change", changed);
    return () => {
      removeEventListener("popstate", back);
      dark.removeEventListener("change", changed);
    };
  }, []);
  const show = (next: View): void => {
    if (urlOf(next) !== urlOf(view)) history.pushState(null, "", urlOf(next));
    setView(next);
    if (next.kind !== view.kind || next.id !== view.id) scrollTo(0, 0);
  };
  const linkTo = (to: View, text: string | VNode): VNode => {
    const follow = (event: MouseEvent): void => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      show(to);
    };
    return html`<a href=${urlOf(to)} onClick=${follow}>${text}</a>`;
  };
  const subject = useSubject(api, view);
  const { data: who, error } = useAnswer("whoami", (signal) => whoami(api, signal), WHO_MS);
  // A key that is revoked while it is used ends the session, and says so.
  useEffect(() => {
    if (error instanceof ApiError && error.status === 401)
      onSignOut("This key is no longer valid. Sign in with another.");
  }, [error]);
  const title = titleOf(view, subject);
  useEffect(() => {
    document.title = `${title} · adtally`;
  }, [title]);
  const switchTheme = (): void => {
    const next = nextTheme(theme);
    applyTheme(next);
    setTheme(next);
  };
  const shownTheme = theme === "system" ? (systemIsDark ? "dark" : "light") : theme;
  return html`<a class="skip" href="#content">Skip to the numbers</a>
    <header class="top">
      <p class="brand">
        ${linkTo({ ...view, kind: "all", id: "" }, html`<span class="mark" aria-hidden="true"></span>adtally`)}
      </p>
      <nav aria-label="Pages">
        ${linkTo({ ...view, kind: "click", id: "" }, "Explain a click")}
        ${demo !== undefined && html`<a href=${demo} target="_blank" rel="noopener">Click some ads</a>`}
      </nav>
      <div class="row">
        ${who !== undefined && html`<span class="faint wide">${who.name}</span>`}
        <button type="button" onClick=${switchTheme} aria-label=${`Theme: ${theme}. Change it`}>
          <span aria-hidden="true">${{ system: "◐", light: "☀", dark: "☾" }[theme]}</span>
          <span class="wide">${theme}</span>
        </button>
        <button type="button" onClick=${() => onSignOut()}>${hasKey ? "Sign out" : "Sign in"}</button>
      </div>
    </header>
    <main id="content" tabindex="-1">
      ${
        view.kind === "click"
          ? html`<${Click} key=${view.id} api=${api} view=${view} onView=${show} linkTo=${linkTo} />`
          : html`<div class="heading">
                <div class="grow">
                  ${trail(view, subject, linkTo)}
                  <h1>${title}</h1>
                </div>
                <${Choices} view=${view} onView=${show} />
              </div>
              <${ReportPage}
                key=${`${view.kind} ${view.id}`}
                api=${api}
                view=${view}
                theme=${shownTheme}
                onView=${show}
                linkTo=${linkTo}
              />`
      }
    </main>`;
}

/** An ad of what is looked at: it knows the campaign and the advertiser, and lends its title. */
function useSubject(api: Api, { kind, id }: View): AdName | undefined {
  const isNamed = kind === "campaign" || kind === "ad" || kind === "advertiser";
  const ask = async (signal: AbortSignal): Promise<AdName | undefined> =>
    (await adNames(api, { [`${kind}_id`]: id, limit: "1" }, signal))[0];
  const { data, isStale } = useAnswer(isNamed ? `${kind} ${id}` : undefined, ask, NAME_MS);
  return isStale ? undefined : data;
}

function titleOf({ kind, id }: View, subject: AdName | undefined): string {
  if (kind === "click") return "Explain a click";
  if (kind === "all") return "All campaigns";
  if (kind !== "advertiser" && subject !== undefined && subject.title !== "") return subject.title;
  return `${{ advertiser: "Advertiser", campaign: "Campaign", ad: "Ad" }[kind]} ${id}`;
}

function trail(
  view: View,
  subject: AdName | undefined,
  linkTo: (view: View, text: string) => VNode,
): VNode | undefined {
  if (view.kind === "all") return undefined;
  const own = { advertiser: "Advertiser", campaign: "Campaign", ad: "Ad", click: "Click" }[view.kind];
  const further = html`<span aria-hidden="true"> › </span>`;
  return html`<nav class="trail" aria-label="Where you are">
    ${linkTo({ ...view, kind: "all", id: "" }, "All campaigns")}
    ${
      view.kind === "ad" &&
      subject !== undefined &&
      html`${further}${linkTo({ ...view, kind: "campaign", id: subject.campaign_id }, `Campaign ${subject.campaign_id}`)}`
    }
    ${further}<span>${own} ${view.id}</span>
  </nav>`;
}

interface ChoicesProps {
  readonly view: View;
  readonly onView: (view: View) => void;
}

function Choices({ view, onView }: ChoicesProps): VNode {
  const last = "last" in view.range ? view.range.last : "";
  const zones = useMemo(
    () => [...new Set([view.zone, ownZone(), "UTC", ...Intl.supportedValuesOf("timeZone")])],
    [view.zone],
  );
  const chosen = (event: Event): string => (event.target as HTMLSelectElement).value;
  return html`<div class="row choices">
    <label>
      <span>Time</span>
      <select onChange=${(event: Event) => onView({ ...view, range: { last: chosen(event) } })}>
        ${last === "" && html`<option value="" selected disabled>Chosen in the chart</option>`}
        ${PRESETS.map(([value, name]) => html`<option value=${value} selected=${value === last}>${name}</option>`)}
      </select>
    </label>
    <label>
      <span>Time zone</span>
      <select onChange=${(event: Event) => onView({ ...view, zone: chosen(event) })}>
        ${zones.map((zone) => html`<option value=${zone} selected=${zone === view.zone}>${zone.replaceAll("_", " ")}</option>`)}
      </select>
    </label>
  </div>`;
}
