/** A number of attempts or mails within a time. */
export interface Limit {
  /** Largest number within the time. A whole number above 0. */
  readonly max: number
  /** The time in seconds. A whole number above 0. */
  readonly seconds: number
}

/** The checked option `limits`. */
export interface LimitSettings {
  /** Limits per client, by the kind of the attempt; `other` is for all further kinds. */
  readonly client: Readonly<Record<string, readonly Limit[]>>
}
