import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, release, totalmem, type } from 'node:os'

/** The machine, without anything that identifies it further. */
export interface Machine {
  cpu: string
  cores: number
  memoryGigabytes: number
  os: string
  node: string
  /** Server and load generator ran on cores of their own. */
  pinned: boolean
}

export function describeMachine (pinned: boolean): Machine {
  const [version = ''] = /^\d+\.\d+/.exec(release()) ?? []
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    os: `${type()} ${version}`.trim(),
    node: process.versions.node,
    pinned
  }
}

const PACKAGES = [
  'fastify',
  '@fastify/jwt',
  '@fastify/cookie',
  '@node-rs/argon2',
  'better-sqlite3',
  'pg',
  'kysely',
  'mysql2',
  'ioredis'
]
const LIBRARIES = [
  '@fastify/passport',
  '@fastify/secure-session',
  '@fastify/session',
  'express',
  'passport',
  'passport-jwt',
  'better-auth'
]

/** Returns the versions of the packages by name. Other packages are listed if they are installed. */
export function readVersions (): Record<string, string> {
  const root = createRequire(new URL('../../../package.json', import.meta.url))
  const libraries = new URL('../../../benchmarks/libraries/package.json', import.meta.url)
  const versions: Record<string, string> = { 'fastify-users': (root('./package.json') as { version: string }).version }
  for (const [names, folder] of [
    [PACKAGES, new URL('../../../', import.meta.url)],
    [LIBRARIES, new URL('./', libraries)]
  ] as const) {
    for (const name of names) {
      try {
        const text = readFileSync(new URL(`node_modules/${name}/package.json`, folder), 'utf8')
        versions[name] = (JSON.parse(text) as { version: string }).version
      } catch {}
    }
  }
  return versions
}
