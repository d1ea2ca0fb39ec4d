import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../../../benchmarks/libraries/', import.meta.url))

/** Installs the other packages, if their lock file is newer than the last installation. */
export function installLibraries (report: (text: string) => void): void {
  const installed = `${FOLDER}node_modules/.package-lock.json`
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(`${FOLDER}package-lock.json`).mtimeMs) return
  report('installing the packages of benchmarks/libraries')
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--prefix', FOLDER], { stdio: 'ignore' })
  if (status !== 0) report('npm ci failed in benchmarks/libraries: the other packages are skipped')
}
