// The results of one test file, read from the TAP lines that its process prints.
import { Parser } from 'tap-parser'

/** A result line of the file's own level: the number counts the results of the process. */
const RESULT = /^((?:not )?ok) \d+/

export class FileResults {
  counts = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
  failures = []
  skips = []
  #parser = new Parser()
  #lines = []
  #failedTests = 0
  #tests = 0
  #start = Date.now()

  constructor (file) {
    this.file = file
    this.#parser.on('result', (assertion) => this.#addAssertion(assertion))
    this.#parser.on('assert', ({ ok, todo, skip }) => {
      if (!ok && !todo && !skip) this.#failedTests++
    })
  }

  /** Adds a line without its end. */
  addLine (line) {
    const own = line.replace(RESULT, (_, kind) => `${kind} ${++this.#tests}`)
    this.#lines.push(own)
    this.#parser.write(`${own}\n`)
  }

  /** Adds the plan at the end of the file. A file fails if an assertion or a test fails, or if it has no assertion. */
  end () {
    this.addLine(`1..${this.#tests}`)
    this.#parser.end()
    this.seconds = ((Date.now() - this.#start) / 1000).toFixed(1)
    this.ok = this.counts.fail === 0 && this.#failedTests === 0 && this.counts.total > 0
  }

  /** Marks the file as failed for a reason other than the result of a test. */
  fail (reason) {
    this.ok = false
    this.reason ??= reason
  }

  /** Returns the file as a test of a TAP text. */
  toSubtest (number) {
    const lines = this.#lines.map((line) => (line === '' ? '' : `    ${line}`))
    const result = `${this.ok ? 'ok' : 'not ok'} ${number} - ${this.file} # time=${this.seconds * 1000}ms`
    return [`# Subtest: ${this.file}`, ...lines, result, ''].join('\n')
  }

  #addAssertion (assertion) {
    const kind = assertion.todo ? 'todo' : assertion.skip ? 'skip' : assertion.ok ? 'pass' : 'fail'
    this.counts.total++
    this.counts[kind]++
    if (kind === 'fail') this.failures.push(assertion)
    if (kind === 'skip') this.skips.push(assertion)
  }
}
