import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, release, totalmem, type } from 'node:os'

/** The machine of a run, without data that identifies it, such as its name. */
export interface Machine {
  cpu: string
  cores: number
  memoryGigabytes: number
  os: string
  node: string
  /** True if the server and the load generator ran on separate cores. */
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
