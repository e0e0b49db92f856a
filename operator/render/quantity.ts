/** Kubernetes' quantities of bytes: "10Gi", "500M", 1024. */

const FACTORS: Readonly<Record<string, number>> = {
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** Of one that the custom resource's schema has let pass. */
export function bytesOf(quantity: string | number): number {
  const [, count = "0", unit = ""] = /^([0-9.]+)([a-zA-Z]*)$/.exec(String(quantity)) ?? [];
  return Number(count) * (FACTORS[unit] ?? 1);
}
