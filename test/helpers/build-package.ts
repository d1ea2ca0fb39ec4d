import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { root } from './root.js'

/**
 * Builds the package as it is published, and copies its examples, into a folder, where programs import it as
 * `fastify-users`. Returns the modules of each file of the package.
 */
export function buildPackage (folder: string): Record<string, string[]> {
  cpSync(builtPackage(), folder, { recursive: true })
  return JSON.parse(readFileSync(join(folder, MODULES), 'utf8')) as Record<string, string[]> // bundlePackage wrote it
}

const MODULES = 'modules.json'

/** Returns the folder with the package of the present sources. The first test that needs it builds it for all. */
function builtPackage (): string {
  const digest = createHash('sha256')
  for (const file of ['dist/test.sources', 'build/bundle.mjs', 'package.json']) digest.update(readFileSync(join(root, file)))
  const builds = join(root, '.tap/packages')
  const built = join(builds, digest.digest('hex'))
  if (existsSync(built)) return built
  mkdirSync(builds, { recursive: true })
  deleteFormerBuilds(builds)
  const folder = mkdtempSync(join(builds, 'new-'))
  bundlePackage(folder)
  try {
    renameSync(folder, built)
  } catch (error) {
    rmSync(folder, { recursive: true })
    if (!existsSync(built)) throw error // otherwise another process was faster
  }
  return built
}

/** Deletes builds that no test run of the last hour has made. */
function deleteFormerBuilds (builds: string): void {
  for (const name of readdirSync(builds)) {
    const build = join(builds, name)
    if (statSync(build).mtimeMs < Date.now() - 3_600_000) rmSync(build, { recursive: true, force: true })
  }
}

function bundlePackage (folder: string): void {
  for (const source of ['lib', 'schemas', 'examples']) {
    cpSync(join(root, 'dist', source), join(folder, source), {
      recursive: true,
      filter: (path) => !path.endsWith('.map')
    })
  }
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, unknown> }
  const exports = Object.fromEntries(
    Object.entries(manifest.exports)
      .filter((entry): entry is [string, { default: string }] => typeof entry[1] !== 'string')
      .map(([path, { default: file }]) => [path, file.replace('./dist/', './')])
  )
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'fastify-users', type: 'module', exports }))
  const modules = execFileSync(process.execPath, [join(root, 'build/bundle.mjs'), folder], { encoding: 'utf8' })
  writeFileSync(join(folder, MODULES), modules)
}

/** Returns TypeScript code as JavaScript. */
export function transpile (text: string): string {
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  return ts.transpileModule(text, { compilerOptions }).outputText
}
