const TRIES = 3

/** Runs work up to three times, as long as it fails without having had an effect. */
export async function retry<T> (work: () => Promise<T>, hadNoEffect: (error: unknown) => boolean): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === TRIES || !hadNoEffect(error)) throw error
    }
  }
}
