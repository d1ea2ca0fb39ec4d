const TRIES = 3

/** Does work again, as long as it fails without an effect. */
export async function retry<T> (work: () => Promise<T>, hadNoEffect: (error: unknown) => boolean): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === TRIES || !hadNoEffect(error)) throw error
    }
  }
}
