// The commands `npm run faults` and `npm run races` work. They run with few flows and requests here.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { needsPostgres } from './helpers/postgres.js'

const { skip } = await needsPostgres()

/** Runs a command to its end. Returns its exit code and its lines. */
function run (name: string, ...parameters: string[]): { status: number | null; lines: string[] } {
  const file = join(import.meta.dirname, `runs/${name}.js`)
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...parameters], { encoding: 'utf8' })
  if (status !== 0) t.comment(stdout + stderr)
  return { status, lines: stdout.trim().split('\n') }
}

t.test('the fault run finds no session and no incomplete change', { skip }, async (t) => {
  const { status, lines } = run('faults', 'log in by cookie', 'reset', 'answer', 'add an app', 'remove', 'add a passkey', 'trust')
  t.equal(status, 0)
  t.match(lines.at(-1), /^no session, no incomplete change/)
  for (const store of ['memory', 'PostgreSQL']) {
    t.ok(lines.some((line) => line.startsWith(store)), store)
  }
  t.equal(lines.filter((line) => /^\d+ flows /.test(line)).length, 2)
})

t.test('RACE-01: in two processes, what works once works once', { skip }, async (t) => {
  const { status, lines } = run('races', '6')
  t.equal(status, 0)
  t.match(lines.at(-1), /races: each was won as often as allowed$/)
})
