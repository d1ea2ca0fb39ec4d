// Type-checks the repository and compiles the files that changed since the last time into dist.
// Compiled files whose source is gone are deleted, so that no old test runs.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

const FOLDERS = ['lib', 'schemas', 'test', 'benchmarks', 'examples']
/** Contains the state of the sources after the last compilation without errors. */
const stateFile = join(root, 'dist/test.sources')

/** Deletes compiled files without a source, and the record of the last compilation with them. */
function deleteOrphans () {
  for (const folder of FOLDERS) {
    const compiled = join(root, 'dist', folder)
    if (!existsSync(compiled)) continue
    for (const name of readdirSync(compiled, { recursive: true }).filter((path) => /\.c?js(\.map)?$/.test(path))) {
      if (!existsSync(join(root, folder, name.replace(/\.(c?)js(\.map)?$/, '.$1ts')))) rmSync(join(compiled, name))
    }
  }
}

/**
 * Returns a digest of the path, size and times of each source and configuration file. The operating system sets the
 * time of the last change (ctime), also when a program sets the time of the last modification to an older one.
 */
function readState () {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => /\.([cm]?ts|json)$/.test(name))
      .map((name) => join(root, folder, name))
  )
  const others = ['tsconfig.json', 'package.json', 'node_modules/.package-lock.json'].map((name) => join(root, name))
  files.push(...others.filter((file) => existsSync(file)))
  const digest = createHash('sha256')
  for (const file of files.sort()) {
    const { size, mtimeMs, ctimeMs } = statSync(file)
    digest.update(JSON.stringify([file, size, mtimeMs, ctimeMs]))
  }
  return digest.digest('hex')
}

/** Compiles if a file changed since the last compilation without errors. Returns the exit code of the compiler. */
export function compile () {
  deleteOrphans()
  const state = readState()
  const complete = existsSync(join(root, 'dist/test')) && existsSync(stateFile)
  if (complete && readFileSync(stateFile, 'utf8') === state) return 0
  rmSync(stateFile, { force: true })
  // without the compiled files, the record of the last compilation would claim that they exist
  if (!existsSync(join(root, 'dist/test'))) rmSync(join(root, 'dist/test.tsbuildinfo'), { force: true })
  const compiler = join(root, 'node_modules/typescript-7/bin/tsc')
  const exitCode =
    spawnSync(process.execPath, [compiler, '-p', join(root, 'test/tsconfig.json')], { stdio: 'inherit' }).status ?? 1
  if (exitCode === 0) writeFileSync(stateFile, state)
  return exitCode
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = compile()
