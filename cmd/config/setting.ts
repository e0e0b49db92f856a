/** One thing that a program can be told, and its three names. */
import type { Kind } from "./kinds.ts";

export interface Setting<T> {
  readonly kind: Kind<unknown>;
  readonly help: string;
  /** Undefined and not required: the setting may stay unset. */
  readonly fallback: T | undefined;
  readonly isRequired: boolean;
  /** Never shown, and never quoted in an error. */
  readonly isSecret: boolean;
}

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type ConfigOf<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
};

export function setting<T>(kind: Kind<T>, help: string, fallback: NoInfer<T>): Setting<T> {
  return { kind: kind as Kind<unknown>, help, fallback, isRequired: false, isSecret: false };
}

export function required<T>(kind: Kind<T>, help: string): Setting<T> {
  return { kind: kind as Kind<unknown>, help, fallback: undefined, isRequired: true, isSecret: false };
}

export function optional<T>(kind: Kind<T>, help: string): Setting<T | undefined> {
  return { kind: kind as Kind<unknown>, help, fallback: undefined, isRequired: false, isSecret: false };
}

export function asSecret<T>(given: Setting<T>): Setting<T> {
  return { ...given, isSecret: true };
}

export function withDefault<T>(given: Setting<T>, fallback: T): Setting<T> {
  return { ...given, fallback, isRequired: false };
}

const words = (name: string): string[] => name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());

/** `httpPort` is the flag `--http-port`, … */
export const flagOf = (name: string): string => `--${words(name).join("-")}`;
/** … the environment variable `ADTALLY_HTTP_PORT`, … */
export const variableOf = (name: string): string => `ADTALLY_${words(name).join("_").toUpperCase()}`;
/** … and `http_port` in a file. */
export const fileKeyOf = (name: string): string => words(name).join("_");
