/** Asks for a key, and says what is wrong with one that is not taken. */
import { Api, ApiError, messageOf } from "./api.ts";
import { whoami, type Whoami } from "./whoami.ts";
import { html, useState, type VNode } from "./ui.ts";

interface SignInProps {
  /** Why one was signed out. */
  readonly notice: string | undefined;
  readonly demo: string | undefined;
  /** Whether reports can be read without a key here. */
  readonly isOpen: boolean;
  readonly onKey: (key: string) => void;
}

const tryKey = (key: string): Promise<Whoami> => whoami(new Api(key));

/** @throws ApiError that says what to do */
async function assertKey(key: string): Promise<void> {
  if (!/^[\u0021-\u007e]{1,256}$/.test(key))
    throw new ApiError(
      0,
      "INPUT_INVALID",
      "A key is one word of letters and digits, such as adk_…: copy it once more.",
    );
  const { scopes } = await tryKey(key);
  if (!scopes.some((scope) => scope === "read" || scope === "admin"))
    throw new ApiError(
      403,
      "PERMISSION_DENIED",
      "This key is known, but may not read reports: it needs the scope “read”.",
    );
}

export function SignIn({ notice, demo, isOpen, onKey }: SignInProps): VNode {
  const [key, setKey] = useState("");
  const [said, setSaid] = useState(notice);
  const [isTrying, setTrying] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const given = key.trim();
    if (given === "") {
      setSaid("Paste a key first.");
      return;
    }
    setTrying(true);
    try {
      await assertKey(given);
      onKey(given);
    } catch (error) {
      setSaid(explained(error));
      setTrying(false);
    }
  };
  return html`<main class="sign-in" id="content">
    <form class="card" onSubmit=${submit} novalidate>
      <p class="brand"><span class="mark" aria-hidden="true"></span>adtally</p>
      <h1>Your clicks, each counted once</h1>
      <label for="key">API key</label>
      <input
        id="key"
        name="key"
        type="password"
        autocomplete="current-password"
        spellcheck="false"
        autofocus
        value=${key}
        aria-describedby="key-said"
        aria-invalid=${said === undefined ? undefined : "true"}
        onInput=${(event: Event) => setKey((event.target as HTMLInputElement).value)}
      />
      <p
        id="key-said"
        class=${said === undefined ? "faint" : "wrong"}
        role=${said === undefined ? undefined : "alert"}
      >
        ${said ?? "It stays in this tab, and is forgotten when you close it."}
      </p>
      <button type="submit" class="primary" disabled=${isTrying}>
        ${isTrying ? "Signing in…" : "Sign in"}
      </button>
      ${isOpen && html`<button type="button" onClick=${() => onKey("")}>Look around without a key</button>`}
      <p class="faint">
        ${
          demo === undefined
            ? "You have no key? Whoever runs this server makes one."
            : html`A key for each demo advertiser stands where <code>npm start</code> says that it is
                ready.${" "} <a href=${demo}>Or click some ads first.</a>`
        }
      </p>
    </form>
  </main>`;
}

function explained(error: unknown): string {
  if (!(error instanceof ApiError)) return messageOf(error);
  if (error.status === 401)
    return "This key is not known here. It may have been revoked, or not copied whole.";
  return error.message;
}
