import { join, resolve } from 'node:path'

/** The folder of the repository. Tests run as compiled files below `dist/test`. */
export const root = resolve(import.meta.dirname, '../../..')

/** Returns the path of a data file in `test/fixtures`. */
export function fixturePath (name: string): string {
  return join(root, 'test/fixtures', name)
}
