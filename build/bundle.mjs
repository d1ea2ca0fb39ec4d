// Replaces the compiled modules of the package by one file per entry and by chunks that entries share, so that an
// application loads about 15 files instead of 400. TypeBox, which consists of 200 modules, becomes part of the chunks;
// all other dependencies stay imports. The declaration files are not changed. The argument is the folder
// that contains the compiled folders `lib` and `schemas`; the default is `dist`.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transform } from 'esbuild'
import { rollup } from 'rollup'

const root = fileURLToPath(new URL('..', import.meta.url))
const PLUGIN = 'lib/index.js'
/** The entry for browsers, which must not import what servers need. */
const BROWSER = 'lib/features/refresh-tokens/client.js'
const COMMONJS = 'fastify-users:packages' // stands for lib/packages.cjs until the place of each file is known
const typebox = fileURLToPath(import.meta.resolve('@sinclair/typebox'))
const isTypebox = (id) => id.startsWith(dirname(typebox))

/** All packages stay imports, except TypeBox. */
const dependencies = {
  name: 'dependencies',
  resolveId (name) {
    if (name.endsWith('/packages.cjs')) return { id: COMMONJS, external: true }
    if (name === '@sinclair/typebox') return typebox
    return name.startsWith('.') || isAbsolute(name) ? null : { id: name, external: true }
  }
}

/** Returns the files that package.json names, relative to its folder `dist`. */
function entryFiles () {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const files = [...Object.values(exports).map((entry) => entry.default), ...Object.values(bin)]
  return files.filter((file) => file !== undefined).map((file) => relative('dist', file))
}

/** Bundles the compiled package of a folder in place. Returns the modules of each file that remains. */
async function bundle (folder) {
  const bundled = await rollup({
    input: Object.fromEntries(entryFiles().map((file) => [file.replace(/\.js$/, ''), join(folder, file)])),
    plugins: [dependencies],
    treeshake: { moduleSideEffects: (id) => !isTypebox(id) },
    onwarn ({ code, ids = [], message }) {
      if (code === 'CIRCULAR_DEPENDENCY' && ids.every(isTypebox)) return
      throw new Error(message)
    }
  })
  const { output } = await bundled.generate({
    format: 'es',
    entryFileNames: '[name].js',
    chunkFileNames: 'lib/chunks/[name]-[hash].js',
    manualChunks: pluginChunk(folder)
  })
  await bundled.close()
  deleteModules(folder)
  for (const { fileName, code } of output) {
    const commonjs = relative(dirname(fileName), 'lib/packages.cjs')
    const placed = code.replaceAll(`'${COMMONJS}'`, `'${commonjs.startsWith('.') ? '' : './'}${commonjs}'`)
    const file = join(folder, fileName)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, (await transform(placed, { target: 'node20' })).code) // without comments
  }
  copyFileSync(join(typebox, '../../../license'), join(folder, 'lib/chunks/typebox-license.txt'))
  const filesOf = ({ fileName, moduleIds }) => [fileName, moduleIds.map((id) => relative(folder, id))]
  return Object.fromEntries(output.map(filesOf))
}

/**
 * Returns a function that puts the modules that every application loads into one chunk: to find and to open a file
 * takes longer than to read more code.
 */
function pluginChunk (folder) {
  let inBrowsers
  let inServers
  return (id, { getModuleInfo }) => {
    inBrowsers ??= reachableFrom(join(folder, BROWSER), getModuleInfo)
    inServers ??= reachableFrom(join(folder, PLUGIN), getModuleInfo)
    return inServers.has(id) && !inBrowsers.has(id) ? 'plugin' : undefined
  }
}

/** Returns a module and all modules that it imports, directly or not. Modules of `import()` are left out. */
function reachableFrom (entry, getModuleInfo) {
  const found = new Set([entry])
  for (const id of found) for (const imported of getModuleInfo(id)?.importedIds ?? []) found.add(imported)
  return found
}

/** Deletes the compiled modules, and the source maps that the compilation for tests makes. */
function deleteModules (folder) {
  for (const source of ['lib', 'schemas']) {
    for (const name of readdirSync(join(folder, source), { recursive: true })) {
      if (/\.js(\.map)?$/.test(name)) rmSync(join(folder, source, name))
    }
  }
}

const [, , folder] = process.argv
const modules = await bundle(folder ?? join(root, 'dist'))
if (folder !== undefined) console.log(JSON.stringify(modules)) // the tests read it
