import type { Terminal } from '../command.js'

/** The output of `rotate-secret`: a new secret or key pair, and the steps to replace the present one. */
export interface RotationPlan {
  /** The created values, with their headings. */
  readonly created: readonly { readonly name: string; readonly value: string }[]
  readonly steps: readonly RotationStep[]
  /** Lifetimes of the values that depend on the present secret or key pair. */
  readonly lifetimes: readonly Lifetime[]
  readonly notes: readonly string[]
}

/** One deployment. */
export interface RotationStep {
  readonly text: string
  /** The option after this step. */
  readonly option: string
  /** Earliest time of the step; null for any time. */
  readonly notBefore: Date | null
}

/** Lifetime of a kind of values in seconds; null for no end, undefined if it is not known. */
export interface Lifetime {
  readonly about: string
  readonly seconds: number | null | undefined
}

const UNITS: readonly [seconds: number, name: string][] = [
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second']
]

/** Returns the longest known lifetime in seconds. */
export function longestOf (lifetimes: readonly Lifetime[]): number {
  return Math.max(0, ...lifetimes.map(({ seconds }) => seconds ?? 0))
}

/** Returns the time after a number of seconds, rounded up to a minute. */
export function timeAfter (start: Date, seconds: number): Date {
  return new Date(Math.ceil((start.getTime() + seconds * 1000) / 60_000) * 60_000)
}

/** Returns a time in the form `2026-11-29 10:00 UTC`. */
export function formatTime (time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/** Prints a plan as text. */
export function printPlan ({ created, steps, lifetimes, notes }: RotationPlan, { print }: Terminal): void {
  for (const { name, value } of created) print(`${name}:\n\n${value.trimEnd()}\n`)
  print('Complete each step in all processes before the next one.\n')
  for (const [index, { text, option, notBefore }] of steps.entries()) {
    print(`${index + 1}. ${text}${notBefore === null ? '' : `, not before ${formatTime(notBefore)}`}:`)
    print(`     ${option}`)
  }
  if (lifetimes.length > 0) print('\nDepending on the present one, and for how long:\n')
  const width = Math.max(0, ...lifetimes.map(({ about }) => about.length))
  for (const { about, seconds } of lifetimes) print(`  ${about.padEnd(width)}  ${formatLifetime(seconds)}`)
  for (const note of notes) print(`\n${note}`)
}

/** Prints a plan as JSON. */
export function printPlanAsJson ({ lifetimes, ...plan }: RotationPlan, { print }: Terminal): void {
  // JSON has no undefined
  const known = lifetimes.map(({ about, seconds }) => ({ about, seconds: seconds === undefined ? 'unknown' : seconds }))
  print(JSON.stringify({ ...plan, lifetimes: known }, null, 2))
}

function formatLifetime (seconds: number | null | undefined): string {
  if (seconds === undefined) return 'not known; see the documentation of the feature'
  if (seconds === null) return 'no end: it stops working in the last step'
  const [size, unit] = UNITS.find(([size]) => seconds % size === 0) ?? [1, 'second']
  const count = seconds / size
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
