/** Light, dark, or as the system has it; kept on this machine, as it is nobody else's business. */
export type Theme = "system" | "light" | "dark";

const KEPT_AS = "adtally.theme";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

export function keptTheme(): Theme {
  const kept = localStorage.getItem(KEPT_AS);
  return THEMES.find((theme) => theme === kept) ?? "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  if (theme === "system") localStorage.removeItem(KEPT_AS);
  else localStorage.setItem(KEPT_AS, theme);
}

export const nextTheme = (theme: Theme): Theme => THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
