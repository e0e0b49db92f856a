export async function seedDemo(_catalogue: unknown): Promise<void> {}
export function registerDemoRoutes(_app: unknown, _deps: unknown): void {}
