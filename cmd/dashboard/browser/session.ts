/** The key that was signed in with: kept while this tab is open, and told to this server alone. */
const KEPT_AS = "adtally.key";

/** Undefined: nobody signed in. Empty: somebody looks without a key, where the server lets anyone. */
export function keptKey(): string | undefined {
  return sessionStorage.getItem(KEPT_AS) ?? undefined;
}

export function keepKey(key: string | undefined): void {
  if (key === undefined) sessionStorage.removeItem(KEPT_AS);
  else sessionStorage.setItem(KEPT_AS, key);
}
