#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "data/csv_reader.h"

// Whether the first line of a CSV file names its columns.

namespace reel::data {

inline constexpr std::size_t no_column = std::numeric_limits<std::size_t>::max();

/// The columns that are no features, as far as is known before it is known what the first line is.
struct NoFeatures {
  std::size_t label = no_column;
  std::vector<bool> ignored;

  bool has(std::size_t column) const { return column == label || ignored[column]; }
};

/// Whether the features of the first line count up from 0, from column `start` on, as pandas names columns
/// that have no names. The others have numbers of their own or have none: "0,1,2", "label,0,1", ",0,1".
bool features_count(const CsvRecord& first, const NoFeatures& others, std::size_t start = 0);

/// Whether one of these columns is named by the first line, where each was chosen by what stands there. A
/// class may be given for the name of its column: then another line has it, too.
bool names_a_chosen_column(const CsvRecord& first, std::vector<std::size_t> chosen,
                           const std::vector<bool>& ignored, CsvReader ahead);

/// Whether the first line names the columns, one of which is the class's. `ahead` reads on behind it.
bool names_columns(const CsvRecord& first, const NoFeatures& others, CsvReader ahead);

/// The same if there is no class. Throws DataError if nothing tells.
bool names_columns_without_class(const CsvRecord& first, const NoFeatures& others, const CsvReader& reader);

}  // namespace reel::data
