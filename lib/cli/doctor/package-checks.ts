import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Finding, findingsOrOk } from './finding.js'

/** A package of which some versions have a known weakness that affects logins. */
export interface RiskyPackage {
  readonly name: string
  /** First version that is not affected. */
  readonly minimum: string
  /** Later versions that are affected too. */
  readonly affected?: readonly string[]
  readonly advisory: string
}

/** Packages that `doctor` looks for beside the application. */
export const RISKY_PACKAGES: readonly RiskyPackage[] = [
  { name: 'fastify', minimum: '5.12.2', advisory: 'CVE-2026-25223, CVE-2026-3635' },
  { name: 'nodemailer', minimum: '7.0.7', advisory: 'CVE-2025-13033' },
  { name: 'fast-jwt', minimum: '6.2.4', advisory: 'CVE-2026-44351' },
  { name: 'jsonwebtoken', minimum: '9.0.0', advisory: 'CVE-2022-23540' },
  { name: 'jws', minimum: '3.2.3', affected: ['4.0.0'], advisory: 'CVE-2025-65945' }
]

/** Checks the versions of risky packages that are installed for the modules of a folder. */
export function checkPackages (folder: string): readonly Finding[] {
  const findings = RISKY_PACKAGES.flatMap(({ name, minimum, affected = [], advisory }): Finding[] => {
    const version = installedVersion(folder, name)
    if (version === null || (isAtLeast(version, minimum) && !affected.includes(version))) return []
    const text = `${name} ${version} has a known weakness (${advisory}); update it to ${minimum} or a later version`
    return [{ level: 'fail', about: 'packages', text }]
  })
  return findingsOrOk('packages', findings, 'no package with a known weakness of logins')
}

/** Compares two versions (Semantic Versioning 2.0.0, section 11). A prerelease is less than its release. */
export function isAtLeast (version: string, minimum: string): boolean {
  const [release = '', ...prerelease] = version.split('-')
  const given = release.split('.').map(Number)
  const least = minimum.split('.').map(Number)
  for (const [i, number] of least.entries()) {
    const difference = (given[i] ?? 0) - number
    if (difference !== 0) return difference > 0
  }
  return prerelease.length === 0
}

/** Returns the version of a package as Node.js finds it from a folder, or null if it is not installed. */
function installedVersion (folder: string, name: string): string | null {
  for (let current = folder; ; current = dirname(current)) {
    try {
      const text = readFileSync(join(current, 'node_modules', name, 'package.json'), 'utf8')
      return String((JSON.parse(text) as { version?: unknown }).version)
    } catch {
      if (current === dirname(current)) return null
    }
  }
}
