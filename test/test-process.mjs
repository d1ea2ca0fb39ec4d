// A child process that runs test files one after another, for runner.mjs.
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { FileResults } from './file-results.mjs'
import { BEGIN_COMMENT, END_COMMENT, TIMEOUT_SECONDS } from './run-in-process.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const SCRIPT = 'run-in-process.mjs'
/** The time in which a process must end after its last file, and in which its output must end after its exit. */
const EXIT_SECONDS = 30

let count = 0

export class TestProcess {
  /** True if the process has ended. */
  ended = false
  /** The memory that the process used at the end of its last file, in bytes. */
  memory = 0
  /** Resolves with the exit code, or with the name of the signal that ended the process. */
  #exit
  #child
  #errors = ''
  #isUnused = true
  #anyFailed = false
  #onLine = () => {}

  constructor () {
    // differs between the processes of this run and of others
    const name = `${process.pid}-${++count}`
    this.#child = spawn(process.execPath, ['--enable-source-maps', `test/${SCRIPT}`, name], {
      cwd: root,
      env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(TIMEOUT_SECONDS) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true // the process and its children are a group, so that `kill` ends all of them
    })
    this.#child.on('message', ({ memory }) => {
      this.memory = memory ?? this.memory
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors += text
    })
    const lines = createInterface({ input: this.#child.stdout, crlfDelay: Infinity })
    lines.on('line', (line) => this.#onLine(line))
    const read = new Promise((resolve) => lines.on('close', resolve))
    const exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject)
      this.#child.on('exit', (code, signal) => resolve(signal ?? code))
    })
    this.#exit = exit.then(async (code) => {
      this.ended = true
      this.kill()
      await Promise.race([read, wait(EXIT_SECONDS * 1000, undefined, { ref: false })])
      rmSync(join(root, '.tap/fixtures', `test-${SCRIPT}-${name}`), { recursive: true, force: true })
      return code
    })
  }

  /**
   * Runs a file and returns its results. If the process ends meanwhile, the file has failed. Returns undefined if the
   * process ended after an earlier file, before this one began.
   */
  async run (file) {
    const results = new FileResults(file)
    const isFirst = this.#isUnused
    let begun = false
    this.#isUnused = false
    if (!this.ended) this.#errors = ''
    const end = new Promise((resolve) => {
      this.#onLine = (line) => {
        if (line === BEGIN_COMMENT + file) begun = true
        else if (line === END_COMMENT + file) resolve()
        else if (begun) results.addLine(line)
      }
    })
    const timer = setTimeout(() => this.kill(), (TIMEOUT_SECONDS + 10) * 1000)
    this.#child.send(file, () => {}) // an error means that the process has ended
    const exitCode = await Promise.race([end, this.#exit])
    clearTimeout(timer)
    this.#onLine = () => {}
    if (exitCode !== undefined && !begun && !isFirst) return undefined
    results.end()
    results.errors = this.#errors
    if (exitCode !== undefined) results.fail(`The process ended within this file (${exitCode}).`)
    this.#anyFailed ||= !results.ok
    return results
  }

  /**
   * Ends the process, unless it has ended. `results`, those of its last file, fail if the process does not end by
   * itself or has an unexpected exit code.
   */
  async end (results) {
    if (!this.ended) this.#child.send(null, () => {})
    const timer = setTimeout(() => this.kill(), EXIT_SECONDS * 1000)
    const exitCode = await this.#exit
    clearTimeout(timer)
    // tap sets the exit code to 1 after a failed assertion
    if (exitCode === 0 || (exitCode === 1 && this.#anyFailed)) return
    results.errors = this.#errors
    results.fail(
      exitCode === 'SIGKILL'
        ? `The process did not end within ${EXIT_SECONDS} seconds after this file.`
        : `The process ended after this file (${exitCode}).`
    )
  }

  /** Ends the process and its children at once. */
  kill () {
    try {
      process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      // all of them have ended
    }
  }
}
