/** What the doctor says of one thing: all right, to be thought about, or to be put right. */
export interface Finding {
  readonly level: 'ok' | 'warn' | 'fail'
  /** The thing that was looked at. */
  readonly about: string
  readonly text: string
}

/** The worst first where several say something; else that all is right. */
export function findingsOr (about: string, findings: readonly Finding[], right: string): readonly Finding[] {
  return findings.length > 0 ? findings : [{ level: 'ok', about, text: right }]
}

/** Runs a check, and rejects with an error of its own when the answer takes too long. */
export async function withinTime<T> (milliseconds: number, late: () => Error, check: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(late())
    }, milliseconds)
  })
  try {
    return await Promise.race([check(), timeout])
  } finally {
    clearTimeout(timer)
  }
}
