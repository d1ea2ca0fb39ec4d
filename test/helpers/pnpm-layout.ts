import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './root.js'

interface Manifest {
  name: string
  version: string
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  peerDependenciesMeta?: Record<string, { optional?: boolean }>
}

const OTHER_FILES = /\.(?:[cm]?js|map|md|node|c|cc|h)$|(?<!\.d)\.[cm]?ts$/

/**
 * Installs the types of this package and of `others` into `folder` as pnpm does: each package is in
 * `node_modules/.pnpm` beside links to its dependencies, and the application can import only its own dependencies.
 */
export function installLikePnpm (folder: string, declarations: string, others: readonly string[]): void {
  const placed = new Map<string, string>()
  const place = (source: string): string => {
    const known = placed.get(source)
    if (known !== undefined) return known
    const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as Manifest
    const parent = join(
      folder,
      'node_modules/.pnpm',
      `${manifest.name.replace('/', '+')}@${manifest.version}`,
      'node_modules'
    )
    const target = join(parent, manifest.name)
    placed.set(source, target)
    if (source === root) {
      cpSync(join(root, 'package.json'), join(target, 'package.json'))
      cpSync(declarations, join(target, 'dist'), { recursive: true })
    } else {
      cpSync(source, target, {
        recursive: true,
        filter: (path) => !OTHER_FILES.test(path) && !path.slice(source.length).includes('node_modules')
      })
    }
    for (const name of dependenciesOf(manifest)) {
      const found = findPackage(name, source)
      if (found !== undefined) link(place(found), join(parent, name))
    }
    return target
  }
  link(place(root), join(folder, 'node_modules/fastify-users'))
  for (const name of others) link(place(findPackage(name, root) ?? name), join(folder, 'node_modules', name))
}

function dependenciesOf ({ dependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} }: Manifest): string[] {
  const peers = Object.keys(peerDependencies).filter((name) => peerDependenciesMeta[name]?.optional !== true)
  return [...Object.keys(dependencies), ...peers]
}

/** Returns the folder of a package as Node.js resolves it from another package. */
function findPackage (name: string, from: string): string | undefined {
  const found = join(from, 'node_modules', name)
  if (existsSync(join(found, 'package.json'))) return realpathSync(found)
  return from === dirname(from) ? undefined : findPackage(name, dirname(from))
}

function link (target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  if (!existsSync(path)) symlinkSync(target, path)
}
