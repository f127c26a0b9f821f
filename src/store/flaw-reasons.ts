/** Why an event cannot be used that was used before. For the operator. */

export const WRONGLY_SIGNED = 'its signature is wrong'
