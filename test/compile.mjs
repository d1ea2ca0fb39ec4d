// Type-checks the repository and compiles it into dist, as far as files changed since the last time.
// Compiled files whose source is gone are deleted, so that no old test runs.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Deletes compiled files without a source, and the record of the last compilation with them. */
function deleteOrphans () {
  for (const folder of ['lib', 'schemas', 'test', 'benchmarks', 'examples']) {
    const compiled = join(root, 'dist', folder)
    if (!existsSync(compiled)) continue
    for (const name of readdirSync(compiled, { recursive: true }).filter((path) => /\.c?js(\.map)?$/.test(path))) {
      if (!existsSync(join(root, folder, name.replace(/\.(c?)js(\.map)?$/, '.$1ts')))) rmSync(join(compiled, name))
    }
  }
}

/** Compiles, and returns the exit code of the compiler. */
export function compile () {
  deleteOrphans()
  // without the compiled files, the record of the last compilation would claim that they exist
  if (!existsSync(join(root, 'dist/test'))) rmSync(join(root, 'dist/test.tsbuildinfo'), { force: true })
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  return (
    spawnSync(process.execPath, [compiler, '-p', join(root, 'test/tsconfig.json')], { stdio: 'inherit' }).status ?? 1
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = compile()
