/** Result of one check. */
export interface Finding {
  /** `ok`; `warn`: worth a change; `fail`: must be corrected. */
  readonly level: 'ok' | 'warn' | 'fail'
  /** Subject of the check: an option, a backend, or a part of the store. */
  readonly about: string
  readonly text: string
}

/** Returns the findings, or one with the level `ok` if there are none. */
export function findingsOrOk (about: string, findings: readonly Finding[], okText: string): readonly Finding[] {
  return findings.length > 0 ? findings : [{ level: 'ok', about, text: okText }]
}
